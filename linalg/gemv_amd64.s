#include "textflag.h"

// Four rows of a matrix times one vector (AVX2 and FMA): four streams from memory
// at once, and x is loaded once for all. Row r sums in Yr and Y(4+r).

#define ROWS4(shift) \
	MOVQ n+0(FP), CX; \
	MOVQ a+8(FP), SI; \
	MOVQ lda+16(FP), R8; \
	SHLQ $shift, R8; \
	LEAQ (SI)(R8*1), R9; \
	LEAQ (R9)(R8*1), R10; \
	LEAQ (R10)(R8*1), R11; \
	VXORPS Y0, Y0, Y0; \
	VXORPS Y1, Y1, Y1; \
	VXORPS Y2, Y2, Y2; \
	VXORPS Y3, Y3, Y3; \
	VXORPS Y4, Y4, Y4; \
	VXORPS Y5, Y5, Y5; \
	VXORPS Y6, Y6, Y6; \
	VXORPS Y7, Y7, Y7

// The four sums into X0.
#define SUM4 \
	VADDPS Y4, Y0, Y0; \
	VADDPS Y5, Y1, Y1; \
	VADDPS Y6, Y2, Y2; \
	VADDPS Y7, Y3, Y3; \
	VHADDPS Y1, Y0, Y0; \
	VHADDPS Y3, Y2, Y2; \
	VHADDPS Y2, Y0, Y0; \
	VEXTRACTF128 $1, Y0, X1; \
	VADDPS X1, X0, X0

#define STEPF32(row, acc0, acc1) \
	VFMADD231PS (row), Y8, acc0; \
	VFMADD231PS 32(row), Y9, acc1; \
	PREFETCHT0 768(row); \
	ADDQ $64, row

// func sgemv4AVX2(n int, a *float32, lda int, x, y *float32)
// n is a multiple of 8.
TEXT ·sgemv4AVX2(SB), NOSPLIT, $0-40
	ROWS4(2)
	MOVQ x+24(FP), DI
	SUBQ $16, CX
	JLT eights
loop:
	VMOVUPS (DI), Y8
	VMOVUPS 32(DI), Y9
	STEPF32(SI, Y0, Y4)
	STEPF32(R9, Y1, Y5)
	STEPF32(R10, Y2, Y6)
	STEPF32(R11, Y3, Y7)
	ADDQ $64, DI
	SUBQ $16, CX
	JGE loop
eights:
	ADDQ $16, CX
	JZ done
	VMOVUPS (DI), Y8
	VFMADD231PS (SI), Y8, Y0
	VFMADD231PS (R9), Y8, Y1
	VFMADD231PS (R10), Y8, Y2
	VFMADD231PS (R11), Y8, Y3
done:
	SUM4
	MOVQ y+32(FP), DI
	VMOVUPS X0, (DI)
	VZEROUPPER
	RET

#define STEPBF16(row, acc0, acc1) \
	VPMOVZXWD (row), Y10; \
	VPMOVZXWD 16(row), Y11; \
	PREFETCHT0 768(row); \
	VPSLLD $16, Y10, Y10; \
	VPSLLD $16, Y11, Y11; \
	VFMADD231PS Y8, Y10, acc0; \
	VFMADD231PS Y9, Y11, acc1; \
	ADDQ $32, row

#define LASTBF16(row, acc) \
	VPMOVZXWD (row), Y10; \
	VPSLLD $16, Y10, Y10; \
	VFMADD231PS Y8, Y10, acc

// func sgemv4BF16AVX2(n int, a *uint16, lda int, x, y *float32)
// n is a multiple of 8.
TEXT ·sgemv4BF16AVX2(SB), NOSPLIT, $0-40
	ROWS4(1)
	MOVQ x+24(FP), DI
	SUBQ $16, CX
	JLT eights
loop:
	VMOVUPS (DI), Y8
	VMOVUPS 32(DI), Y9
	STEPBF16(SI, Y0, Y4)
	STEPBF16(R9, Y1, Y5)
	STEPBF16(R10, Y2, Y6)
	STEPBF16(R11, Y3, Y7)
	ADDQ $64, DI
	SUBQ $16, CX
	JGE loop
eights:
	ADDQ $16, CX
	JZ done
	VMOVUPS (DI), Y8
	LASTBF16(SI, Y0)
	LASTBF16(R9, Y1)
	LASTBF16(R10, Y2)
	LASTBF16(R11, Y3)
done:
	SUM4
	MOVQ y+32(FP), DI
	VMOVUPS X0, (DI)
	VZEROUPPER
	RET

// A group of 32 weights of one row: its product with x in Y8 to Y11, times its scale.
#define GROUPINT8(row, scale, acc0, acc1) \
	VPMOVSXBD (row), Y12; \
	VPMOVSXBD 8(row), Y13; \
	PREFETCHT0 512(row); \
	VCVTDQ2PS Y12, Y12; \
	VCVTDQ2PS Y13, Y13; \
	VMULPS Y8, Y12, Y12; \
	VMULPS Y9, Y13, Y13; \
	VPMOVSXBD 16(row), Y14; \
	VPMOVSXBD 24(row), Y15; \
	VCVTDQ2PS Y14, Y14; \
	VCVTDQ2PS Y15, Y15; \
	VFMADD231PS Y10, Y14, Y12; \
	VFMADD231PS Y11, Y15, Y13; \
	VBROADCASTSS (scale), Y14; \
	VFMADD231PS Y14, Y12, acc0; \
	VFMADD231PS Y14, Y13, acc1; \
	ADDQ $32, row; \
	ADDQ $4, scale

// func sgemv4Int8AVX2(groups int, a *int8, lda int, x, y, scale *float32, groupsPerRow int)
TEXT ·sgemv4Int8AVX2(SB), NOSPLIT, $0-56
	ROWS4(0)
	MOVQ x+24(FP), DI
	MOVQ scale+40(FP), BX
	MOVQ groupsPerRow+48(FP), R8
	SHLQ $2, R8
	LEAQ (BX)(R8*1), R12
	LEAQ (R12)(R8*1), R13
	LEAQ (R13)(R8*1), DX
	TESTQ CX, CX
	JZ done
loop:
	VMOVUPS (DI), Y8
	VMOVUPS 32(DI), Y9
	VMOVUPS 64(DI), Y10
	VMOVUPS 96(DI), Y11
	GROUPINT8(SI, BX, Y0, Y4)
	GROUPINT8(R9, R12, Y1, Y5)
	GROUPINT8(R10, R13, Y2, Y6)
	GROUPINT8(R11, DX, Y3, Y7)
	ADDQ $128, DI
	DECQ CX
	JNZ loop
done:
	SUM4
	MOVQ y+32(FP), DI
	VMOVUPS X0, (DI)
	VZEROUPPER
	RET
