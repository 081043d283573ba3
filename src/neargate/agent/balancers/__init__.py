"""Load balancers' nodes on one host: whose plans are here, and what runs them."""
