"""Connected components of a graph that is given by its edges."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def components(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Number the connected components of a graph.

    Args:
        count: rows, 0 to count - 1.
        first, second: the rows that each edge joins, integers [E].

    Returns:
        The component of each row, integers [count].
    """
    edges = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    return connected_components(edges, directed=False)[1]
