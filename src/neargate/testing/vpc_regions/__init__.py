"""Regions for tests of packets: the two usual set-ups, and random ones, as EC2's Describe* calls return them."""
