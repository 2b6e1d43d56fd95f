"""Control images: does a model still heed its prompts?"""
