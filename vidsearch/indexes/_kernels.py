"""The inner loops, compiled by Numba when a trained index is first asked: 4-bit codes scanned in blocks of 32 rows, stored rows scored.

A block of codes is (pairs, 32) uint8: for each pair of codes one byte a row, the first code in its low half. Byte 2 r is row r and byte
2 r + 1 row 16 + r, so that the even and the odd bytes of a register are 16 consecutive rows each. On processors other than x86 with AVX2
the same sums are made one by one.

Addresses are passed as integers: the arrays they point into must outlive the call.
"""

# mypy: disable-error-code="misc, no-untyped-call, no-untyped-def, untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from vidsearch.indexes._intrinsics import AVX2, as_float, block_hits_avx2, byte_at, half_at, lowest_bit, popcount, prefetch, word_at

BLOCK_ROWS = 32


@njit(cache=True, nogil=True)
def _block_hits_plain(codes, tables, pairs, floor, sums):
    out = np.zeros(BLOCK_ROWS, dtype=np.uint16)
    for pair in range(pairs):
        for place in range(BLOCK_ROWS):
            byte = byte_at(codes + pair * BLOCK_ROWS + place)
            low = byte_at(tables + 32 * pair + (byte & 15))
            high = byte_at(tables + 32 * pair + 16 + (byte >> 4))
            out[(place >> 1) + 16 * (place & 1)] += low + high
    hits = 0
    for row in range(BLOCK_ROWS):
        sums[row] = out[row]
        if out[row] > floor:
            hits |= 1 << row
    return hits


@njit(cache=True, nogil=True)
def _block_hits(codes, tables, pairs, floor, sums):
    return block_hits_avx2(codes, tables, pairs, floor, sums.ctypes.data)


block_hits: Any = _block_hits if AVX2 else _block_hits_plain


@njit(cache=True, nogil=True)
def count_by_list(words, offsets):
    """Return how many rows of each inverted list pass, (lists,) int64.

    Args:
        words: address of (blocks,) uint32, the bitmap of the rows that pass.
        offsets: (lists + 1,) int64, where each list's rows begin.
    """
    counts = np.zeros(len(offsets) - 1, dtype=np.int64)
    for number in range(len(counts)):
        start, end = offsets[number], offsets[number + 1]
        for block in range(start >> 5, (end + 31) >> 5):
            counts[number] += popcount(_within(word_at(words + 4 * block), block, start, end))
    return counts


@njit(cache=True, nogil=True)
def _within(word, block, start, end):
    """Return a word without the bits of rows outside start to end."""
    first, last = start - (block << 5), end - (block << 5)
    if first > 0:
        word &= np.uint32(0xFFFFFFFF) << np.uint32(first)
    if last < BLOCK_ROWS:
        word &= np.uint32((1 << last) - 1)
    return np.uint32(word)


@njit(cache=True, nogil=True)
def scan_codes(codes, pairs, offsets, words, first, lists, askers, biases, tables, scales, depth, rows, scores, counts, floors):
    """Keep for each query the `depth` rows with the highest approximate scores of the inverted lists it visits.

    Args:
        codes: address of (blocks, pairs, 32) uint8.
        pairs: of codes a row has.
        offsets: (lists + 1,) int64, where each list's rows begin.
        words: address of (blocks,) uint32, the rows that pass; 0 for all.
        first: added to the number of each row.
        lists, askers, biases: (v,) the visits: which list, for which query, and what its score begins with, best lists first.
        tables: (q, codes, 16) uint8, at most 127, aligned to 16 bytes.
        scales: (q,) float32, what one step of a sum is worth.
        depth: rows to keep, 1 or more.
        rows, scores, counts: (q, room), (q, room), (q,): what is kept, in no order, and how much; room is at least 2 depth + 32. Goes on
            from what earlier calls with other segments kept.
        floors: (q,) float32, below which nothing is kept; -inf at first.

    Returns:
        The number of codes compared.
    """
    all_tables, block_bytes = tables.ctypes.data, BLOCK_ROWS * pairs  # which is a query's bytes of tables too
    sums = np.zeros(BLOCK_ROWS, dtype=np.uint16)
    room = rows.shape[1] - BLOCK_ROWS
    compared = 0
    for visit in range(len(lists)):
        number, query, bias = lists[visit], askers[visit], biases[visit]
        start, end = offsets[number], offsets[number + 1]
        table, scale = all_tables + query * block_bytes, scales[query]
        floor = _steps(floors[query], bias, scale)
        for block in range(start >> 5, (end + 31) >> 5):
            word = _within(word_at(words + 4 * block) if words else np.uint32(0xFFFFFFFF), block, start, end)
            if word == 0 or floor >= 0xFFFF:
                continue
            compared += BLOCK_ROWS
            hits = block_hits(codes + block * block_bytes, table, pairs, max(floor, 0), sums) & np.int64(word)
            if floor < 0:
                hits = np.int64(word)  # nothing is turned away yet
            kept = counts[query]
            while hits:
                place = lowest_bit(hits)
                hits &= hits - 1
                rows[query, kept] = first + (block << 5) + place
                scores[query, kept] = bias + scale * sums[place]
                kept += 1
            if kept > room:
                floors[query] = _keep_best(rows[query], scores[query], kept, depth)
                floor = _steps(floors[query], bias, scale)
                kept = depth
            counts[query] = kept
    for query in range(len(counts)):
        if counts[query] > depth:
            floors[query] = _keep_best(rows[query], scores[query], counts[query], depth)
            counts[query] = depth
    return compared


@njit(cache=True, nogil=True)
def _steps(score, bias, scale):
    """Return how many whole steps make up a score; -1 for none to begin with."""
    if score == -np.inf:
        return np.int64(-1)
    return min(np.int64(0xFFFF), max(np.int64(-1), np.int64(np.floor((score - bias) / scale))))


@njit(cache=True, nogil=True)
def _keep_best(rows, scores, count, depth):
    """Move the `depth` best of `count` entries to the front, in the order they are in; return the lowest score kept."""
    lowest = np.partition(scores[:count].copy(), count - depth)[count - depth]
    above = 0
    for place in range(count):
        above += scores[place] > lowest
    equal, kept = depth - above, 0
    for place in range(count):
        if scores[place] > lowest or (scores[place] == lowest and equal > 0):
            equal -= scores[place] == lowest
            rows[kept], scores[kept] = rows[place], scores[place]
            kept += 1
    return lowest


@njit(cache=True, nogil=True, fastmath=True)
def score_rows(vectors, rows, query, scores):
    """Write the inner product of a query with some stored rows.

    Args:
        vectors: address of (n, dim) finite half floats.
        rows: (m,) int64.
        query: (dim,) float32, times 2^112: a half float's bits at a float's places are its value times 2^-112, subnormals included.
        scores: (m,) float32, written.
    """
    dim = len(query)
    row_bytes = 2 * dim
    for number in range(len(rows)):
        if number + 2 < len(rows):
            ahead = vectors + rows[number + 2] * row_bytes
            for line in range(0, row_bytes, 64):
                prefetch(ahead + line)
        start, total = vectors + rows[number] * row_bytes, np.float32(0)
        for place in range(dim):
            bits = (np.int32(half_at(start + 2 * place)) << np.int32(13)) & np.int32(-0x70000001)
            total += as_float(bits) * query[place]
        scores[number] = total


@njit(cache=True, nogil=True)
def best_rows(vectors, rows, query, k):
    """Return the k best of some rows by exact score, then by row number.

    Args:
        vectors: address of (n, dim) finite half floats.
        rows: (m,) int64, each once.
        query: (dim,) float32, times 2^112, see `score_rows`.

    Returns:
        scores (at most k,) float32 and rows.
    """
    rows = np.sort(rows)  # the order they lie in on the disk
    scores = np.empty(len(rows), dtype=np.float32)
    score_rows(vectors, rows, query, scores)
    if len(rows) > 4 * k:  # sort only what may be among the k best
        lowest = np.partition(scores.copy(), len(scores) - k)[len(scores) - k]
        near = scores >= lowest
        rows, scores = rows[near], scores[near]
    order = np.argsort(-scores, kind="mergesort")[:k]  # stable: rows of equal score stay in order
    return scores[order], rows[order]


@njit(cache=True, nogil=True)
def choose_lists(order, held, wanted):
    """Return the nearest lists that together hold `wanted` rows that pass, without those that hold none.

    Args:
        order: (lists,) int64, nearest first.
        held: (lists,) int64, rows that pass in each.
        wanted: rows, may be a fraction.
    """
    chosen = np.empty(len(order), dtype=np.int64)
    count, rows = 0, 0
    for place in range(len(order)):
        if held[order[place]]:
            chosen[count] = order[place]
            count += 1
            rows += held[order[place]]
            if rows >= wanted:
                break
    return chosen[:count]


@njit(cache=True, nogil=True)
def concentration(order, held, sizes, near):
    """Return how many of the passing rows the nearest lists hold, against how many of all rows.

    Args:
        order: (lists,) int64, nearest first.
        held, sizes: (lists,) int64, rows that pass and rows in each.
        near: the nearest lists are those that hold this share of all rows.
    """
    wanted, passing = near * sizes.sum(), held.sum()
    rows, found = 0, 0
    for place in range(len(order)):
        if rows >= wanted:
            break
        rows += sizes[order[place]]
        found += held[order[place]]
    return (found / passing) / (rows / sizes.sum())


@njit(cache=True, nogil=True)
def make_tables(codebook, queries, most, tables, steps, starts):
    """Write what codes add to the score of projected queries.

    Args:
        codebook: (codes, 16, slice) float32.
        queries: (q, codes * slice) float32.
        most: the largest step.
        tables: (q, codes, 16) uint8, written: steps above the lowest product of each code.
        steps, starts: (q,) float32, written: what a step is worth, and the sum of the lowest products.
    """
    codes, centroids, part = codebook.shape
    products = np.empty((codes, centroids), dtype=np.float32)
    for query in range(len(queries)):
        span, start = np.float32(1e-12), np.float32(0)
        for code in range(codes):
            for centroid in range(centroids):
                total = np.float32(0)
                for place in range(part):
                    total += codebook[code, centroid, place] * queries[query, code * part + place]
                products[code, centroid] = total
            lowest = products[code].min()
            span = max(span, products[code].max() - lowest)
            products[code] -= lowest
            start += lowest
        step = span / np.float32(most)
        steps[query], starts[query] = step, start
        for code in range(codes):
            for centroid in range(centroids):
                tables[query, code, centroid] = np.uint8(products[code, centroid] / step + np.float32(0.5))
