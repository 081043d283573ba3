"""A small interpreter of nftables text with the part of the kernel around it: conntrack, NAT, policy routing.

So that a rule set can be asked without root what it does with a packet. `table.Table` reads transactions, `machine`
runs packets through the hooks. It must not know what the rules are for, nor who made them. Invariant: text that it does
not know, or that the kernel would refuse, is an error, never ignored. An integration test compares it with the kernel.
"""
