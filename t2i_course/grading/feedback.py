def page(row, master): return "x"
def summary(rows, master): return "x"
