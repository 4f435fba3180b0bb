"""RAM 2015-05-01: users, AccessKeys, groups, policies and roles."""
