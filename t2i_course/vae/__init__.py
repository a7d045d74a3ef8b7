"""2015: a picture is written on a canvas, glimpse by glimpse, by a variational autoencoder that reads a caption."""
