"""ECR's operations, one thin function each; `table.py` lists them."""
