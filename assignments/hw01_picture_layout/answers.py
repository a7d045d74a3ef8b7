"""Answers that the checks of HW1 must accept, in other styles than the master's, and typical wrong ones to reject."""

RIGHT = {
    "pagerank": {
        "loops and power iteration": """
def pagerank(graph, picturability, damping=0.3):
    n = len(graph)
    total = sum(picturability)
    v = [p / total if total else 1 / n for p in picturability]
    r = list(v)
    for _ in range(500):
        new = [(1 - damping) * v[j] for j in range(n)]
        for i in range(n):
            degree = sum(graph[i])
            for j in range(n):
                new[j] += damping * r[i] * (graph[i][j] / degree if degree else v[j])
        r = new
    return r
""",
        "the eigenvector of the whole walk": """
def pagerank(graph, picturability, damping=0.3):
    G = np.array(graph, float)
    v = np.asarray(picturability, float)
    v = v / v.sum() if v.any() else np.ones(len(v)) / len(v)
    alone = G.sum(1) == 0
    G[alone] = v
    P = G / G.sum(1)[:, None]
    values, vectors = np.linalg.eig(((1 - damping) * v[None, :] + damping * P).T)
    r = np.real(vectors[:, np.argmax(np.real(values))])
    return r / r.sum()
""",
        "einsum in single precision": """
def pagerank(graph, picturability, damping=0.3):
    n = graph.shape[0]
    v = np.full(n, 1 / n) if picturability.max() <= 0 else picturability / np.add.reduce(picturability)
    P = np.stack([row / row.sum() if row.sum() > 0 else v for row in graph]).astype(np.float32)
    r = v.astype(np.float32)
    for _ in range(400):
        r = (1 - damping) * v + damping * np.einsum("i,ij->j", r, P)
    return r
""",
    },
    "overlap": {
        "two loops": """
def overlap(positions, sides):
    n = len(sides)
    area = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            lengths = []
            for k in (0, 1):
                left = max(positions[i][k] - sides[i] / 2, positions[j][k] - sides[j] / 2)
                right = min(positions[i][k] + sides[i] / 2, positions[j][k] + sides[j] / 2)
                lengths.append(max(0.0, right - left))
            area[i, j] = lengths[0] * lengths[1]
    return area
""",
        "the reach, cut at the smaller side": """
def overlap(positions, sides):
    reach = (sides[:, None] + sides) / 2
    smaller = np.minimum.outer(sides, sides)
    lx, ly = (np.clip(reach - abs(np.subtract.outer(c, c)), 0, smaller) for c in positions.T)
    return lx * ly * (1 - np.eye(len(sides)))
""",
    },
    "energy": {
        "three loops": """
def energy(area, positions, depths, sides, importance, closeness, weights=(4.0, 1.0, 1.0)):
    n, total = len(sides), 0.0
    for i in range(n):
        total += weights[1] * importance[i] * ((positions[i][0] - 0.5) ** 2 + (positions[i][1] - 0.5) ** 2) ** 0.5
        for j in range(i):
            behind = i if depths[i] > depths[j] else j
            total += weights[0] * importance[behind] * area[i][j] / sides[behind] ** 2
            total += weights[2] * closeness[i][j] * np.hypot(*(positions[i] - positions[j]))
    return total
""",
        "full matrices, halved": """
def energy(area, positions, depths, sides, importance, closeness, weights=(4.0, 1.0, 1.0)):
    harm = importance / sides**2
    row_is_behind = depths[:, None] > depths[None, :]
    hidden = np.sum(area * row_is_behind * harm[:, None])
    distance = np.sqrt(((positions[:, None, :] - positions[None, :, :]) ** 2).sum(-1))
    apart = np.einsum("ij,ij->", closeness, distance) / 2
    far = importance @ np.hypot(*(positions - np.array([0.5, 0.5])).T)
    return np.dot(weights, [hidden, far, apart])
""",
    },
    "monte_carlo_step": {
        "always a new array": """
def monte_carlo_step(positions, i, step, sides, energy_of, temperature, u):
    old = np.array(positions)
    new = np.array(positions)
    new[i] = new[i] + step
    h = sides[i] / 2
    for k in range(2):
        new[i, k] = min(max(new[i, k], h), 1 - h)
    change = energy_of(new) - energy_of(old)
    if change < 0:
        return new
    return new if u < np.exp(-change / temperature) else old
""",
        "by logarithms, with a mask": """
def monte_carlo_step(positions, i, step, sides, energy_of, temperature, u):
    mask = (np.arange(len(positions)) == i)[:, None]
    half = sides[:, None] / 2
    new = np.where(mask, np.minimum(np.maximum(positions + step, half), 1 - half), positions)
    accept = temperature * np.log(max(u, 1e-300)) < energy_of(positions) - energy_of(new)
    return np.where(accept, new, positions)
""",
    },
}

# Each wrong answer is a change of the master's solution: what stands there, and what stands there instead.
WRONG = {
    "pagerank": {
        "P is not transposed": ("damping * P.T", "damping * P"),
        "divides by the columns' sums": ("graph.sum(axis=1, keepdims=True)", "graph.sum(axis=0, keepdims=True)"),
        "damping and its rest are swapped": (
            "np.eye(n) - damping * P.T, (1 - damping) * v",
            "np.eye(n) - (1 - damping) * P.T, damping * v",
        ),
        "jumps anywhere, not where it is drawable": ("v = picturability / total if total > 0 else ", "v = "),
        "a word without links leads nowhere": (
            "np.where(degree > 0, degree, 1), v)",
            "np.where(degree > 0, degree, 1), 0)",
        ),
        "nothing drawable is not thought of": (
            "picturability / total if total > 0 else np.full(n, 1 / n)",
            "picturability / total",
        ),
        "picturability is not scaled": ("v = picturability / total if", "v = picturability if"),
        "one step instead of many": (
            "return np.linalg.solve(np.eye(n) - damping * P.T, (1 - damping) * v)",
            "return (1 - damping) * v + damping * P.T @ v",
        ),
        "the wrong sign": ("np.eye(n) - damping * P.T", "np.eye(n) + damping * P.T"),
        "the links are scaled in place": (
            "P = np.where(degree > 0, graph / np.where(degree > 0, degree, 1), v)",
            "graph /= np.where(degree > 0, degree, 1); P = np.where(degree > 0, graph, v)",
        ),
        "returns a column": ("(1 - damping) * v)", "(1 - damping) * v[:, None])"),
    },
    "overlap": {
        "sides taken for halves": ("sides[:, None] / 2  # (n, 2)", "sides[:, None]  # (n, 2)"),
        "the diagonal is left": ("np.fill_diagonal(area, 0)", "pass"),
        "negative lengths are kept": ("np.clip(shared, 0, None)", "shared"),
        "negative areas are cut, not negative lengths": (
            "np.clip(shared, 0, None).prod(-1)",
            "np.clip(shared.prod(-1), 0, None)",
        ),
        "lengths are added": (".prod(-1)", ".sum(-1)"),
        "small inside large is not thought of": (
            "shared = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])",
            "shared = ((sides[:, None] + sides) / 2)[..., None] - abs(positions[:, None] - positions)",
        ),
        "the union's box instead": (
            "np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])",
            "np.maximum(high[:, None], high[None]) - np.minimum(low[:, None], low[None])",
        ),
        "only one half of the matrix": ("np.fill_diagonal(area, 0)", "area = np.triu(area, 1)"),
        "positions are changed": ("low = positions", "positions -= 0.0001; low = positions"),
        "as a share of the area": ("np.fill_diagonal(area, 0)", "np.fill_diagonal(area, 0); area = area / sides**2"),
    },
    "energy": {
        "the nearer one is said to lie behind": ("depths[i] > depths[j], i, j", "depths[i] < depths[j], i, j"),
        "each pair counts twice": ("np.triu_indices(len(sides), 1)", "np.where(~np.eye(len(sides), dtype=bool))"),
        "the side is not squared": ("sides[b] ** 2", "sides[b]"),
        "importance of the one in front": ("(importance[b] * area", "(importance[i + j - b] * area"),
        "squared distances": (
            "np.linalg.norm(positions[i] - positions[j], axis=1)",
            "np.square(positions[i] - positions[j]).sum(1)",
        ),
        "the norm over the wrong axis": (
            "np.linalg.norm(positions - 0.5, axis=1)",
            "np.linalg.norm(positions - 0.5, axis=0).sum()",
        ),
        "the centre is at 0, 0": ("positions - 0.5", "positions"),
        "importance is left out of centrality": ("(importance * np.linalg", "(np.linalg"),
        "weights in the wrong order": (
            "weights[1] * far_out + weights[2] * apart",
            "weights[2] * far_out + weights[1] * apart",
        ),
        "closeness draws apart": ("+ weights[2] * apart", "- weights[2] * apart"),
        "a mean instead of a sum": ("axis=1)).sum()\n    apart", "axis=1)).mean()\n    apart"),
    },
    "monte_carlo_step": {
        "never takes a worse one": ("worse_by <= 0 or u < np.exp(-worse_by / temperature)", "worse_by <= 0"),
        "always takes it": ("if worse_by <= 0 or u < np.exp(-worse_by / temperature) else positions", ""),
        "the wrong sign in the exponent": ("np.exp(-worse_by / temperature)", "np.exp(worse_by / temperature)"),
        "u above instead of below": ("u < np.exp", "u > np.exp"),
        "multiplies by the temperature": ("-worse_by / temperature", "-worse_by * temperature"),
        "takes worse, refuses better": (
            "energy_of(proposed) - energy_of(positions)",
            "energy_of(positions) - energy_of(proposed)",
        ),
        "does not keep it inside": (
            "np.clip(positions[i] + step, sides[i] / 2, 1 - sides[i] / 2)",
            "positions[i] + step",
        ),
        "inside is from 0 to 1": ("sides[i] / 2, 1 - sides[i] / 2", "0, 1"),
        "changes the old positions": ("proposed = positions.copy()", "proposed = positions"),
        "moves all pictures": ("proposed[i] = np.clip(positions[i] + step,", "proposed = np.clip(positions + step,"),
        "e to the new energy, not to the change": (
            "worse_by = energy_of(proposed) - energy_of(positions)",
            "worse_by = energy_of(proposed)",
        ),
    },
}
