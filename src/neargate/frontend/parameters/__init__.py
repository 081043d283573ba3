"""Parameter Store's state: parameters, their versions, labels and tags; what is decided of them and where it is kept.

Knows no operation. Values rest sealed and are read one by one; all else is in memory.
"""
