"""Model-dependent measurements that methods share."""
