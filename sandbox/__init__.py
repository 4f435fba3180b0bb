"""The sandbox: a local Alibaba Cloud over HTTP, so that everything runs without an account.

It answers the wire protocols of the cloud (RPC for RDS, RAM, STS and VPC; OSS REST; the metadata
service) on one loopback port. It shares no code with the broker and is reached over HTTP only.
"""
