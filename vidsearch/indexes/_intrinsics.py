"""What Numba has no words for: a look-up of 32 rows in one register, reads from addresses, prefetching, bits.

Written in LLVM's own terms. The look-up is the idea of Quick ADC (André, Kermarrec, Le Scouarnec, 2017) and of FAISS's FastScan.
"""

# mypy: disable-error-code="misc, no-untyped-call, no-untyped-def, untyped-decorator"

from __future__ import annotations

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

AVX2 = bool(binding.get_host_cpu_features().get("avx2", False))

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_BYTES, _WORDS = ir.VectorType(_I8, 32), ir.VectorType(_I16, 16)


def _splat(kind: ir.VectorType, value: int) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count)


@intrinsic
def block_hits_avx2(typing_context, codes, tables, pairs, floor, sums):
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


def loader(returned, kind):
    """Return a function that reads one number from an address."""

    @intrinsic
    def load(typing_context, address):
        def generate(context, builder, signature, arguments):
            return builder.load(builder.inttoptr(arguments[0], kind.as_pointer()))

        return returned(types.int64), generate

    return load


byte_at, half_at, word_at = loader(types.uint8, _I8), loader(types.int16, _I16), loader(types.uint32, _I32)


@intrinsic
def prefetch(typing_context, address):
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
def as_float(typing_context, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def popcount(typing_context, word):
    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint32(types.uint32), generate


@intrinsic
def lowest_bit(typing_context, word):
    """Return the place of the lowest bit that is set in a word that is not 0."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate
