"""2017 to 2022: pictures as few numbers, or as words of a codebook, and back."""
