"""2016 to 2018: a generator draws from noise and a caption, and a discriminator judges pictures and captions."""
