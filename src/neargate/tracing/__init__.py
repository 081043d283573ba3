"""What AWS documents of a VPC's packets, as a model that is asked: may this flow pass, and what does its target see?

Written from AWS's own pages, without the planner and the data plane, which tests compare with it; it must never import
from `vpc` or `hostnet`. Pure: a description of what EC2's Describe* calls return goes in, an answer comes out. Read
`description`, `flows`, `region`, `routes`, `filters`, `forward`, `reply`; `model.ask` puts them together.

"User guide" in comments is the Amazon VPC User Guide, by title of its page. Where that is silent, this model decides:
- A new flow from outside arrives only where the subnet would send the answer back to the same internet gateway. AWS
  says that such a subnet is not public; it does not say whether the lost first packet still reaches the interface.
- A route inside the VPC's own range is not checked for what CreateRoute accepts; the longest prefix wins as it stands.
- Of equally long routes by two prefix lists AWS takes one at random and keeps to it: here, that of the first list.
- A NAT gateway translates to its private address; its elastic address is put on at the internet gateway. So what it
  sends inside the VPC, or over peering, comes from the private one. Chains of them work until one comes twice.
- The port that a NAT gateway takes is not known: a reply passes when it does for every port that it may take.
- What a network interface does with packets for others (an appliance) is not known: the model stops there and says so.
- The region's own endpoint (Neargate's, not AWS's) is like a link-local service: no route, no filter, one port.
- There are no VPN connections: what a route leads to a virtual private gateway ends there.
- What is refused as `NotModelled`: gateway route tables, NAT64, transit gateways.
"""
