"""The ladder: several models, one answer, and nothing said twice."""
