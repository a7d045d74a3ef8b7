"""2007: a text becomes a collage of library pictures. Read the files in the order of the pipeline:

tagging, chain      words, base forms, and the linear chain that tags them
picturability       step 1a: can this word be drawn?
keyphrases          step 1b: which words to draw
clauses             who does what to whom
pictures            step 2: a picture for each keyphrase
optimise            step 3: where to put the pictures
collage             cards and arrows as SVG
abc                 the 2008 alternative: who | does what | to whom
picture_layout      all of it together: `PictureLayout`
fit                 trains and measures the learnt parts
"""
