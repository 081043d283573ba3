"""VPC flow logs without I/O: what the kernel's messages say, what is added up of it, and the lines that AWS has."""
