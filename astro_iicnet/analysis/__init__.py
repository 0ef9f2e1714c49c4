"""Analysis of what a network says: metrics against the truth."""
