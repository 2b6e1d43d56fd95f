"""Is the concept still drawn, and what else changed?"""
