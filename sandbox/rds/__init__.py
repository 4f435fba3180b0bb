"""RDS 2014-08-15: instances with their accounts, databases, grants, allow lists and tags."""
