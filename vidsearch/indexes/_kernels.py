"""The inner loops, compiled by Numba when a trained index is first asked: 4-bit codes scanned in blocks of 32 rows, stored rows scored.

A block of codes is (pairs, 32) uint8: for each pair of codes one byte a row, the first code in its low half. Byte 2 r is row r and byte
2 r + 1 row 16 + r, so that the even and the odd bytes of a register are 16 consecutive rows each. The look-up of 32 rows at once in a
register is the idea of Quick ADC (André, Kermarrec, Le Scouarnec, 2017) and FAISS's FastScan. On processors other than x86 with AVX2
the same sums are made one by one.

Addresses are passed as integers: the arrays they point into must outlive the call.
"""

# mypy: disable-error-code="misc, no-untyped-call, no-untyped-def, untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.extending import intrinsic

BLOCK_ROWS = 32
AVX2 = bool(binding.get_host_cpu_features().get("avx2", False))

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_BYTES, _WORDS = ir.VectorType(_I8, 32), ir.VectorType(_I16, 16)


def _splat(kind: ir.VectorType, value: int) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count)


@intrinsic
def _block_hits_avx2(typing_context, codes, tables, pairs, floor, sums):
    """Write the 32 sums of a block, (32,) uint16, to the address `sums`; return a bit for each that is above `floor`."""

    def generate(context, builder, signature, arguments):
        codes, tables, pairs, floor, sums = arguments
        look_up = builder.module.globals.get("llvm.x86.avx2.pshuf.b") or ir.Function(
            builder.module, ir.FunctionType(_BYTES, [_BYTES, _BYTES]), "llvm.x86.avx2.pshuf.b"
        )
        code_pointer = builder.inttoptr(codes, _BYTES.as_pointer())
        table_pointer = builder.inttoptr(tables, ir.VectorType(_I8, 16).as_pointer())
        both_lanes = ir.Constant(ir.VectorType(_I32, 32), list(range(16)) * 2)
        before, loop, after = builder.block, builder.append_basic_block("pairs"), builder.append_basic_block("done")

        def found(number, nibbles):
            table = builder.load(builder.gep(table_pointer, [number]))
            table.align = 16
            return builder.call(look_up, [builder.shuffle_vector(table, table, both_lanes), nibbles])

        builder.branch(loop)
        builder.position_at_end(loop)
        pair, even, odd = builder.phi(_I64), builder.phi(_WORDS), builder.phi(_WORDS)
        both = builder.load(builder.gep(code_pointer, [pair]))
        both.align = 1
        first = builder.shl(pair, ir.Constant(_I64, 1))
        low = found(first, builder.and_(both, _splat(_BYTES, 15)))
        high = found(builder.add(first, ir.Constant(_I64, 1)), builder.lshr(both, _splat(_BYTES, 4)))
        two = builder.bitcast(builder.add(low, high), _WORDS)  # at most 2 x 127: no byte overflows
        even_next = builder.add(even, builder.and_(two, _splat(_WORDS, 255)))
        odd_next = builder.add(odd, builder.lshr(two, _splat(_WORDS, 8)))
        pair_next = builder.add(pair, ir.Constant(_I64, 1))
        for phi, start, following in (
            (pair, ir.Constant(_I64, 0), pair_next),
            (even, _splat(_WORDS, 0), even_next),
            (odd, _splat(_WORDS, 0), odd_next),
        ):
            phi.add_incoming(start, before)
            phi.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", pair_next, pairs), loop, after)
        builder.position_at_end(after)
        sum_pointer = builder.inttoptr(sums, _WORDS.as_pointer())
        floors = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), builder.trunc(floor, _I16), ir.Constant(_I32, 0))
        floors = builder.shuffle_vector(floors, floors, _splat(ir.VectorType(_I32, 16), 0))
        bits = []
        for number, total in enumerate((even_next, odd_next)):
            builder.store(total, builder.gep(sum_pointer, [ir.Constant(_I64, number)])).align = 2
            above = builder.bitcast(builder.icmp_unsigned(">", total, floors), _I16)
            bits.append(builder.shl(builder.zext(above, _I64), ir.Constant(_I64, 16 * number)))
        return builder.or_(*bits)

    return types.int64(types.int64, types.int64, types.int64, types.int64, types.int64), generate


def _loader(returned, kind):
    """Return a function that reads one number from an address."""

    @intrinsic
    def load(typing_context, address):
        def generate(context, builder, signature, arguments):
            return builder.load(builder.inttoptr(arguments[0], kind.as_pointer()))

        return returned(types.int64), generate

    return load


_byte_at, _half_at, _word_at = _loader(types.uint8, _I8), _loader(types.int16, _I16), _loader(types.uint32, _I32)


@intrinsic
def _prefetch(typing_context, address):
    """Ask for a cache line that will be read soon."""

    def generate(context, builder, signature, arguments):
        pointer = _I8.as_pointer()
        name = "llvm.prefetch.p0"
        ask = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32]), name
        )
        builder.call(ask, [builder.inttoptr(arguments[0], pointer), *(ir.Constant(_I32, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def _as_float(typing_context, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _popcount(typing_context, word):
    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint32(types.uint32), generate


@intrinsic
def _lowest_bit(typing_context, word):
    """Return the place of the lowest bit that is set in a word that is not 0."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@njit(cache=True, nogil=True)
def _block_hits_plain(codes, tables, pairs, floor, sums):
    out = np.zeros(BLOCK_ROWS, dtype=np.uint16)
    for pair in range(pairs):
        for place in range(BLOCK_ROWS):
            byte = _byte_at(codes + pair * BLOCK_ROWS + place)
            low = _byte_at(tables + 32 * pair + (byte & 15))
            high = _byte_at(tables + 32 * pair + 16 + (byte >> 4))
            out[(place >> 1) + 16 * (place & 1)] += low + high
    hits = 0
    for row in range(BLOCK_ROWS):
        sums[row] = out[row]
        if out[row] > floor:
            hits |= 1 << row
    return hits


@njit(cache=True, nogil=True)
def _block_hits(codes, tables, pairs, floor, sums):
    return _block_hits_avx2(codes, tables, pairs, floor, sums.ctypes.data)


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
            counts[number] += _popcount(_within(_word_at(words + 4 * block), block, start, end))
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
            word = _within(_word_at(words + 4 * block) if words else np.uint32(0xFFFFFFFF), block, start, end)
            if word == 0 or floor >= 0xFFFF:
                continue
            compared += BLOCK_ROWS
            hits = block_hits(codes + block * block_bytes, table, pairs, max(floor, 0), sums) & np.int64(word)
            if floor < 0:
                hits = np.int64(word)  # nothing is turned away yet
            kept = counts[query]
            while hits:
                place = _lowest_bit(hits)
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
                _prefetch(ahead + line)
        start, total = vectors + rows[number] * row_bytes, np.float32(0)
        for place in range(dim):
            bits = (np.int32(_half_at(start + 2 * place)) << np.int32(13)) & np.int32(-0x70000001)
            total += _as_float(bits) * query[place]
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
