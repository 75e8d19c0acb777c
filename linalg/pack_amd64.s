#include "textflag.h"

// Packing kernels (AVX2): 4 rows become columns, dst[p*stride+i] = src[i*ld+p] for
// p in [0, n). Strides in elements. Nothing beyond the n elements is touched.

#define PACKARGS(dstShift, srcShift) \
	MOVQ dst+0(FP), DI; \
	MOVQ stride+8(FP), DX; \
	SHLQ $dstShift, DX; \
	LEAQ (DX)(DX*2), R12; \
	MOVQ src+16(FP), SI; \
	MOVQ ld+24(FP), R8; \
	SHLQ $srcShift, R8; \
	LEAQ (SI)(R8*1), R9; \
	LEAQ (R9)(R8*1), R10; \
	LEAQ (R10)(R8*1), R11; \
	MOVQ n+32(FP), CX

// Rows in Y0 to Y3, eight columns each, stored as eight columns of four.
#define TRANSPOSE8 \
	VUNPCKLPS Y1, Y0, Y4; \
	VUNPCKHPS Y1, Y0, Y5; \
	VUNPCKLPS Y3, Y2, Y6; \
	VUNPCKHPS Y3, Y2, Y7; \
	VUNPCKLPD Y6, Y4, Y8; \
	VUNPCKHPD Y6, Y4, Y9; \
	VUNPCKLPD Y7, Y5, Y10; \
	VUNPCKHPD Y7, Y5, Y11; \
	VMOVUPS X8, (DI); \
	VMOVUPS X9, (DI)(DX*1); \
	VMOVUPS X10, (DI)(DX*2); \
	VMOVUPS X11, (DI)(R12*1); \
	LEAQ (DI)(DX*4), DI; \
	VEXTRACTF128 $1, Y8, (DI); \
	VEXTRACTF128 $1, Y9, (DI)(DX*1); \
	VEXTRACTF128 $1, Y10, (DI)(DX*2); \
	VEXTRACTF128 $1, Y11, (DI)(R12*1); \
	LEAQ (DI)(DX*4), DI

// func transpose4Float32(dst *float32, stride int, src *float32, ld, n int)
TEXT ·transpose4Float32(SB), NOSPLIT, $0-40
	PACKARGS(2, 2)
	SUBQ $8, CX
	JLT tail
loop:
	VMOVUPS (SI), Y0
	VMOVUPS (R9), Y1
	VMOVUPS (R10), Y2
	VMOVUPS (R11), Y3
	TRANSPOSE8
	ADDQ $32, SI
	ADDQ $32, R9
	ADDQ $32, R10
	ADDQ $32, R11
	SUBQ $8, CX
	JGE loop
tail:
	ADDQ $8, CX
	JZ done
one:
	MOVL (SI), AX
	MOVL AX, (DI)
	MOVL (R9), AX
	MOVL AX, 4(DI)
	MOVL (R10), AX
	MOVL AX, 8(DI)
	MOVL (R11), AX
	MOVL AX, 12(DI)
	ADDQ $4, SI
	ADDQ $4, R9
	ADDQ $4, R10
	ADDQ $4, R11
	ADDQ DX, DI
	DECQ CX
	JNZ one
done:
	VZEROUPPER
	RET

#define WIDEN8(mem, reg) \
	VPMOVZXWD mem, reg; \
	VPSLLD $16, reg, reg

#define WIDEN1(mem, out) \
	MOVWLZX mem, AX; \
	SHLL $16, AX; \
	MOVL AX, out

// func transpose4BF16(dst *float32, stride int, src *uint16, ld, n int)
TEXT ·transpose4BF16(SB), NOSPLIT, $0-40
	PACKARGS(2, 1)
	SUBQ $8, CX
	JLT tail
loop:
	WIDEN8((SI), Y0)
	WIDEN8((R9), Y1)
	WIDEN8((R10), Y2)
	WIDEN8((R11), Y3)
	TRANSPOSE8
	ADDQ $16, SI
	ADDQ $16, R9
	ADDQ $16, R10
	ADDQ $16, R11
	SUBQ $8, CX
	JGE loop
tail:
	ADDQ $8, CX
	JZ done
one:
	WIDEN1((SI), (DI))
	WIDEN1((R9), 4(DI))
	WIDEN1((R10), 8(DI))
	WIDEN1((R11), 12(DI))
	ADDQ $2, SI
	ADDQ $2, R9
	ADDQ $2, R10
	ADDQ $2, R11
	ADDQ DX, DI
	DECQ CX
	JNZ one
done:
	VZEROUPPER
	RET

// func transpose4Float64(dst *float64, stride int, src *float64, ld, n int)
TEXT ·transpose4Float64(SB), NOSPLIT, $0-40
	PACKARGS(3, 3)
	SUBQ $4, CX
	JLT tail
loop:
	VMOVUPD (SI), Y0
	VMOVUPD (R9), Y1
	VMOVUPD (R10), Y2
	VMOVUPD (R11), Y3
	VUNPCKLPD Y1, Y0, Y4
	VUNPCKHPD Y1, Y0, Y5
	VUNPCKLPD Y3, Y2, Y6
	VUNPCKHPD Y3, Y2, Y7
	VPERM2F128 $0x20, Y6, Y4, Y8
	VPERM2F128 $0x20, Y7, Y5, Y9
	VPERM2F128 $0x31, Y6, Y4, Y10
	VPERM2F128 $0x31, Y7, Y5, Y11
	VMOVUPD Y8, (DI)
	VMOVUPD Y9, (DI)(DX*1)
	VMOVUPD Y10, (DI)(DX*2)
	VMOVUPD Y11, (DI)(R12*1)
	LEAQ (DI)(DX*4), DI
	ADDQ $32, SI
	ADDQ $32, R9
	ADDQ $32, R10
	ADDQ $32, R11
	SUBQ $4, CX
	JGE loop
tail:
	ADDQ $4, CX
	JZ done
one:
	MOVQ (SI), AX
	MOVQ AX, (DI)
	MOVQ (R9), AX
	MOVQ AX, 8(DI)
	MOVQ (R10), AX
	MOVQ AX, 16(DI)
	MOVQ (R11), AX
	MOVQ AX, 24(DI)
	ADDQ $8, SI
	ADDQ $8, R9
	ADDQ $8, R10
	ADDQ $8, R11
	ADDQ DX, DI
	DECQ CX
	JNZ one
done:
	VZEROUPPER
	RET

// func widenBF16AVX2(dst *float32, src *uint16, n int)
TEXT ·widenBF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	SUBQ $8, CX
	JLT tail
loop:
	WIDEN8((SI), Y0)
	VMOVUPS Y0, (DI)
	ADDQ $16, SI
	ADDQ $32, DI
	SUBQ $8, CX
	JGE loop
tail:
	ADDQ $8, CX
	JZ done
one:
	WIDEN1((SI), (DI))
	ADDQ $2, SI
	ADDQ $4, DI
	DECQ CX
	JNZ one
done:
	VZEROUPPER
	RET

// func copyRowsAVX2(dst, src unsafe.Pointer, panels, stride, width, ld, k int)
// Row p of every panel is width bytes of row p of the source, one panel beside the other;
// strides in bytes, width a multiple of 16. Rows are asked for eight ahead: they lie too far
// apart for the processor to guess.
TEXT ·copyRowsAVX2(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ panels+16(FP), AX
	MOVQ stride+24(FP), BX
	MOVQ width+32(FP), DX
	MOVQ ld+40(FP), R13
	MOVQ k+48(FP), CX
row:
	MOVQ DI, R8
	MOVQ SI, R9
	MOVQ AX, R10
panel:
	MOVQ R8, R12
	MOVQ DX, R11
	SUBQ $32, R11
	JLT half
chunk:
	PREFETCHT0 (R9)(R13*8)
	VMOVUPS (R9), Y0
	VMOVUPS Y0, (R12)
	ADDQ $32, R9
	ADDQ $32, R12
	SUBQ $32, R11
	JGE chunk
half:
	ADDQ $32, R11
	JZ next
	VMOVUPS (R9), X0
	VMOVUPS X0, (R12)
	ADDQ $16, R9
next:
	ADDQ BX, R8
	DECQ R10
	JNZ panel
	ADDQ R13, SI
	ADDQ DX, DI
	DECQ CX
	JNZ row
	VZEROUPPER
	RET

// The words of two halves, in turn.
DATA interleave<>+0(SB)/8, $0x0011000100100000
DATA interleave<>+8(SB)/8, $0x0013000300120002
DATA interleave<>+16(SB)/8, $0x0015000500140004
DATA interleave<>+24(SB)/8, $0x0017000700160006
DATA interleave<>+32(SB)/8, $0x0019000900180008
DATA interleave<>+40(SB)/8, $0x001b000b001a000a
DATA interleave<>+48(SB)/8, $0x001d000d001c000c
DATA interleave<>+56(SB)/8, $0x001f000f001e000e
GLOBL interleave<>(SB), RODATA|NOPTR, $64

// func copyPairsAVX512(dst, src *float32, panels, stride, width, ld, pairs int)
// Row p of every panel is rows 2p and 2p+1 of the source, rounded to bf16, the even one in
// the low half of each element. Strides and width in elements.
TEXT ·copyPairsAVX512(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ panels+16(FP), AX
	MOVQ stride+24(FP), BX
	SHLQ $2, BX
	MOVQ width+32(FP), DX
	MOVQ ld+40(FP), R13
	SHLQ $2, R13
	VMOVDQU16 interleave<>(SB), Z3
	MOVQ DX, CX // the last lanes of a row that is no multiple of 16
	ANDQ $15, CX
	MOVL $1, R11
	SHLL CX, R11
	DECL R11
	KMOVW R11, K1
	MOVQ pairs+48(FP), CX
row:
	MOVQ DI, R8
	MOVQ SI, R9
	MOVQ AX, R10
panel:
	MOVQ R8, R12
	MOVQ DX, R11
	SUBQ $16, R11
	JLT rest
sixteen:
	PREFETCHT0 (R9)(R13*8)
	VMOVUPS (R9), Z0
	VMOVUPS (R9)(R13*1), Z1
	BYTE $0x62; BYTE $0xF2; BYTE $0x77; BYTE $0x48; BYTE $0x72; BYTE $0xD0 // VCVTNE2PS2BF16 Z0, Z1, Z2
	VPERMW Z2, Z3, Z2
	VMOVDQU32 Z2, (R12)
	ADDQ $64, R9
	ADDQ $64, R12
	SUBQ $16, R11
	JGE sixteen
rest:
	ADDQ $16, R11
	JZ next
	PREFETCHT0 (R9)(R13*8)
	VMOVUPS.Z (R9), K1, Z0
	VMOVUPS.Z (R9)(R13*1), K1, Z1
	BYTE $0x62; BYTE $0xF2; BYTE $0x77; BYTE $0x48; BYTE $0x72; BYTE $0xD0 // VCVTNE2PS2BF16 Z0, Z1, Z2
	VPERMW Z2, Z3, Z2
	VMOVDQU32 Z2, K1, (R12)
	LEAQ (R9)(R11*4), R9
next:
	ADDQ BX, R8
	DECQ R10
	JNZ panel
	LEAQ (SI)(R13*2), SI
	LEAQ (DI)(DX*4), DI
	DECQ CX
	JNZ row
	VZEROUPPER
	RET

// func transposePairs4(dst *float32, stride int, src *float32, ld, n int)
// transpose4Float32 for pairs of neighbours rounded to bf16: n is a multiple of 16 and gives
// n/2 columns.
TEXT ·transposePairs4(SB), NOSPLIT, $0-40
	PACKARGS(2, 2)
	SHRQ $4, CX
	JZ done
loop:
	VMOVUPS (SI), Z0
	VMOVUPS (R9), Z1
	VMOVUPS (R10), Z2
	VMOVUPS (R11), Z3
	BYTE $0x62; BYTE $0xF2; BYTE $0x7E; BYTE $0x48; BYTE $0x72; BYTE $0xC0 // VCVTNEPS2BF16 Z0, Y0
	BYTE $0x62; BYTE $0xF2; BYTE $0x7E; BYTE $0x48; BYTE $0x72; BYTE $0xC9 // VCVTNEPS2BF16 Z1, Y1
	BYTE $0x62; BYTE $0xF2; BYTE $0x7E; BYTE $0x48; BYTE $0x72; BYTE $0xD2 // VCVTNEPS2BF16 Z2, Y2
	BYTE $0x62; BYTE $0xF2; BYTE $0x7E; BYTE $0x48; BYTE $0x72; BYTE $0xDB // VCVTNEPS2BF16 Z3, Y3
	TRANSPOSE8
	ADDQ $64, SI
	ADDQ $64, R9
	ADDQ $64, R10
	ADDQ $64, R11
	DECQ CX
	JNZ loop
done:
	VZEROUPPER
	RET

// func pairBF16AVX512(pairs int, panel *float32, r int)
// Rows 2p and 2p+1 of the panel (2*pairs, r), rounded to bf16, become row p of pairs, the
// even one in the low half; in place. r is a multiple of 4.
TEXT ·pairBF16AVX512(SB), NOSPLIT, $0-24
	MOVQ pairs+0(FP), CX
	MOVQ panel+8(FP), DI
	MOVQ r+16(FP), DX
	MOVQ DI, SI
	LEAQ (DI)(DX*4), R8
	VMOVDQU16 interleave<>(SB), Z3
row:
	MOVQ DX, R9
	SUBQ $16, R9
	JLT fours
sixteen:
	VMOVUPS (SI), Z0
	VMOVUPS (R8), Z1
	BYTE $0x62; BYTE $0xF2; BYTE $0x77; BYTE $0x48; BYTE $0x72; BYTE $0xD0 // VCVTNE2PS2BF16 Z0, Z1, Z2
	VPERMW Z2, Z3, Z2
	VMOVDQU32 Z2, (DI)
	ADDQ $64, SI
	ADDQ $64, R8
	ADDQ $64, DI
	SUBQ $16, R9
	JGE sixteen
fours:
	ADDQ $16, R9
	JZ next
four:
	VMOVUPS (SI), X0
	VMOVUPS (R8), X1
	BYTE $0x62; BYTE $0xF2; BYTE $0x77; BYTE $0x08; BYTE $0x72; BYTE $0xD0 // VCVTNE2PS2BF16 X0, X1, X2
	VPSRLDQ $8, X2, X1
	VPUNPCKLWD X1, X2, X2
	VMOVDQU X2, (DI)
	ADDQ $16, SI
	ADDQ $16, R8
	ADDQ $16, DI
	SUBQ $4, R9
	JNZ four
next:
	LEAQ (SI)(DX*4), SI
	LEAQ (R8)(DX*4), R8
	DECQ CX
	JNZ row
	VZEROUPPER
	RET
