"""DNS: messages, the names of a VPC, and how what is not of them is asked elsewhere. Pure: bytes in, bytes out."""
