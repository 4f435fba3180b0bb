"""OSS: buckets and objects over REST, with the bucket in the path."""
