"""Cloud Map: namespaces, services and their instances, and the names that these make in VPCs."""
