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
