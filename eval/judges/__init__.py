"""What tells what an image shows; one judge a file."""
