#include "textflag.h"

// Micro-kernels. Each computes a tile of C = alpha*A*B (+ C) from packed panels:
// A (k, mr) and B (k, nr), both contiguous in k; C has row stride ldc elements.
// The accumulators of row i are registers 2i and 2i+1 (AVX-512, two vectors of
// columns) or 3i to 3i+2 (AVX2, three).
//
// func(k int, alpha F, a, b, c *F, ldc int, add bool)

#define ARGS(size) \
	MOVQ k+0(FP), CX; \
	MOVQ a+16(FP), AX; \
	MOVQ b+24(FP), BX; \
	MOVQ c+32(FP), DI; \
	MOVQ ldc+40(FP), DX; \
	SHLQ $size, DX; \
	MOVBLZX add+48(FP), R9

#define SROW512(i, c0, c1) \
	VBROADCASTSS (i*4)(AX), Z26; \
	VFMADD231PS Z26, Z24, c0; \
	VFMADD231PS Z26, Z25, c1

#define SSTEP512 \
	VMOVUPS (BX), Z24; \
	VMOVUPS 64(BX), Z25; \
	SROW512(0, Z0, Z1); \
	SROW512(1, Z2, Z3); \
	SROW512(2, Z4, Z5); \
	SROW512(3, Z6, Z7); \
	SROW512(4, Z8, Z9); \
	SROW512(5, Z10, Z11); \
	SROW512(6, Z12, Z13); \
	SROW512(7, Z14, Z15); \
	SROW512(8, Z16, Z17); \
	SROW512(9, Z18, Z19); \
	SROW512(10, Z20, Z21); \
	SROW512(11, Z22, Z23)

#define SADD512(c0, c1) \
	VFMADD213PS (DI), Z27, c0; \
	VFMADD213PS 64(DI), Z27, c1; \
	VMOVUPS c0, (DI); \
	VMOVUPS c1, 64(DI); \
	ADDQ DX, DI

#define SSET512(c0, c1) \
	VMULPS Z27, c0, c0; \
	VMULPS Z27, c1, c1; \
	VMOVUPS c0, (DI); \
	VMOVUPS c1, 64(DI); \
	ADDQ DX, DI

// The accumulators, and the tile of C called into the cache.
#define START512 \
	VPXORQ Z0, Z0, Z0; \
	VPXORQ Z1, Z1, Z1; \
	VPXORQ Z2, Z2, Z2; \
	VPXORQ Z3, Z3, Z3; \
	VPXORQ Z4, Z4, Z4; \
	VPXORQ Z5, Z5, Z5; \
	VPXORQ Z6, Z6, Z6; \
	VPXORQ Z7, Z7, Z7; \
	VPXORQ Z8, Z8, Z8; \
	VPXORQ Z9, Z9, Z9; \
	VPXORQ Z10, Z10, Z10; \
	VPXORQ Z11, Z11, Z11; \
	VPXORQ Z12, Z12, Z12; \
	VPXORQ Z13, Z13, Z13; \
	VPXORQ Z14, Z14, Z14; \
	VPXORQ Z15, Z15, Z15; \
	VPXORQ Z16, Z16, Z16; \
	VPXORQ Z17, Z17, Z17; \
	VPXORQ Z18, Z18, Z18; \
	VPXORQ Z19, Z19, Z19; \
	VPXORQ Z20, Z20, Z20; \
	VPXORQ Z21, Z21, Z21; \
	VPXORQ Z22, Z22, Z22; \
	VPXORQ Z23, Z23, Z23; \
	MOVQ DI, SI; \
	MOVQ $12, R8; \
fetch: \
	PREFETCHT0 (SI); \
	PREFETCHT0 64(SI); \
	ADDQ DX, SI; \
	DECQ R8; \
	JNZ fetch

// alpha times the accumulators into C, or added to it.
#define SFINISH512 \
	TESTL R9, R9; \
	JZ set; \
	SADD512(Z0, Z1); \
	SADD512(Z2, Z3); \
	SADD512(Z4, Z5); \
	SADD512(Z6, Z7); \
	SADD512(Z8, Z9); \
	SADD512(Z10, Z11); \
	SADD512(Z12, Z13); \
	SADD512(Z14, Z15); \
	SADD512(Z16, Z17); \
	SADD512(Z18, Z19); \
	SADD512(Z20, Z21); \
	SADD512(Z22, Z23); \
	VZEROUPPER; \
	RET; \
set: \
	SSET512(Z0, Z1); \
	SSET512(Z2, Z3); \
	SSET512(Z4, Z5); \
	SSET512(Z6, Z7); \
	SSET512(Z8, Z9); \
	SSET512(Z10, Z11); \
	SSET512(Z12, Z13); \
	SSET512(Z14, Z15); \
	SSET512(Z16, Z17); \
	SSET512(Z18, Z19); \
	SSET512(Z20, Z21); \
	SSET512(Z22, Z23); \
	VZEROUPPER; \
	RET

// func sgemmTileAVX512(k int, alpha float32, a, b, c *float32, ldc int, add bool)
TEXT ·sgemmTileAVX512(SB), NOSPLIT, $0-49
	ARGS(2)
	VBROADCASTSS alpha+8(FP), Z27
	START512
	MOVQ CX, R8
	SHRQ $1, R8
	JZ odd
pair:
	SSTEP512
	ADDQ $48, AX
	ADDQ $128, BX
	SSTEP512
	ADDQ $48, AX
	ADDQ $128, BX
	DECQ R8
	JNZ pair
odd:
	TESTQ $1, CX
	JZ store
	SSTEP512
store:
	SFINISH512

// The bf16 tile has the shape of the float32 one, with a pair of bf16 values, those of
// depths 2p and 2p+1, in place of each float32 of the panels: VDPBF16PS adds both products
// to a float32. The assembler does not know it: EVEX.512.F3.0F38.W0 52 /r with Z26 and Z24
// or Z25 as sources; rx has the high bits of the accumulator's number, m0 and m1 the low.
#define PROW512(i, rx, m0, m1) \
	VBROADCASTSS (i*4)(AX), Z26; \
	BYTE $0x62; BYTE $rx; BYTE $0x2E; BYTE $0x40; BYTE $0x52; BYTE $m0; \
	BYTE $0x62; BYTE $rx; BYTE $0x2E; BYTE $0x40; BYTE $0x52; BYTE $m1

#define PSTEP512 \
	VMOVUPS (BX), Z24; \
	VMOVUPS 64(BX), Z25; \
	PROW512(0, 0x92, 0xc0, 0xc9); \
	PROW512(1, 0x92, 0xd0, 0xd9); \
	PROW512(2, 0x92, 0xe0, 0xe9); \
	PROW512(3, 0x92, 0xf0, 0xf9); \
	PROW512(4, 0x12, 0xc0, 0xc9); \
	PROW512(5, 0x12, 0xd0, 0xd9); \
	PROW512(6, 0x12, 0xe0, 0xe9); \
	PROW512(7, 0x12, 0xf0, 0xf9); \
	PROW512(8, 0x82, 0xc0, 0xc9); \
	PROW512(9, 0x82, 0xd0, 0xd9); \
	PROW512(10, 0x82, 0xe0, 0xe9); \
	PROW512(11, 0x82, 0xf0, 0xf9)

// func bf16TileAVX512(k int, alpha float32, a, b, c *float32, ldc int, add bool)
TEXT ·bf16TileAVX512(SB), NOSPLIT, $0-49
	ARGS(2)
	VBROADCASTSS alpha+8(FP), Z27
	START512
	TESTQ CX, CX
	JZ store
pair:
	PSTEP512
	ADDQ $48, AX
	ADDQ $128, BX
	DECQ CX
	JNZ pair
store:
	SFINISH512

#define DROW512(i, c0, c1) \
	VBROADCASTSD (i*8)(AX), Z26; \
	VFMADD231PD Z26, Z24, c0; \
	VFMADD231PD Z26, Z25, c1

#define DSTEP512 \
	VMOVUPD (BX), Z24; \
	VMOVUPD 64(BX), Z25; \
	DROW512(0, Z0, Z1); \
	DROW512(1, Z2, Z3); \
	DROW512(2, Z4, Z5); \
	DROW512(3, Z6, Z7); \
	DROW512(4, Z8, Z9); \
	DROW512(5, Z10, Z11); \
	DROW512(6, Z12, Z13); \
	DROW512(7, Z14, Z15); \
	DROW512(8, Z16, Z17); \
	DROW512(9, Z18, Z19); \
	DROW512(10, Z20, Z21); \
	DROW512(11, Z22, Z23)

#define DADD512(c0, c1) \
	VFMADD213PD (DI), Z27, c0; \
	VFMADD213PD 64(DI), Z27, c1; \
	VMOVUPD c0, (DI); \
	VMOVUPD c1, 64(DI); \
	ADDQ DX, DI

#define DSET512(c0, c1) \
	VMULPD Z27, c0, c0; \
	VMULPD Z27, c1, c1; \
	VMOVUPD c0, (DI); \
	VMOVUPD c1, 64(DI); \
	ADDQ DX, DI

// func dgemmTileAVX512(k int, alpha float64, a, b, c *float64, ldc int, add bool)
TEXT ·dgemmTileAVX512(SB), NOSPLIT, $0-49
	ARGS(3)
	VBROADCASTSD alpha+8(FP), Z27
	START512
	MOVQ CX, R8
	SHRQ $1, R8
	JZ odd
pair:
	DSTEP512
	ADDQ $96, AX
	ADDQ $128, BX
	DSTEP512
	ADDQ $96, AX
	ADDQ $128, BX
	DECQ R8
	JNZ pair
odd:
	TESTQ $1, CX
	JZ store
	DSTEP512
store:
	TESTL R9, R9
	JZ set
	DADD512(Z0, Z1)
	DADD512(Z2, Z3)
	DADD512(Z4, Z5)
	DADD512(Z6, Z7)
	DADD512(Z8, Z9)
	DADD512(Z10, Z11)
	DADD512(Z12, Z13)
	DADD512(Z14, Z15)
	DADD512(Z16, Z17)
	DADD512(Z18, Z19)
	DADD512(Z20, Z21)
	DADD512(Z22, Z23)
	VZEROUPPER
	RET
set:
	DSET512(Z0, Z1)
	DSET512(Z2, Z3)
	DSET512(Z4, Z5)
	DSET512(Z6, Z7)
	DSET512(Z8, Z9)
	DSET512(Z10, Z11)
	DSET512(Z12, Z13)
	DSET512(Z14, Z15)
	DSET512(Z16, Z17)
	DSET512(Z18, Z19)
	DSET512(Z20, Z21)
	DSET512(Z22, Z23)
	VZEROUPPER
	RET

#define SROW256(i, c0, c1, c2) \
	VBROADCASTSS (i*4)(AX), Y15; \
	VFMADD231PS Y15, Y12, c0; \
	VFMADD231PS Y15, Y13, c1; \
	VFMADD231PS Y15, Y14, c2

#define SSTEP256 \
	VMOVUPS (BX), Y12; \
	VMOVUPS 32(BX), Y13; \
	VMOVUPS 64(BX), Y14; \
	SROW256(0, Y0, Y1, Y2); \
	SROW256(1, Y3, Y4, Y5); \
	SROW256(2, Y6, Y7, Y8); \
	SROW256(3, Y9, Y10, Y11); \
	ADDQ $16, AX; \
	ADDQ $96, BX

#define SADD256(c0, c1, c2) \
	VFMADD213PS (DI), Y15, c0; \
	VFMADD213PS 32(DI), Y15, c1; \
	VFMADD213PS 64(DI), Y15, c2; \
	VMOVUPS c0, (DI); \
	VMOVUPS c1, 32(DI); \
	VMOVUPS c2, 64(DI); \
	ADDQ DX, DI

#define SSET256(c0, c1, c2) \
	VMULPS Y15, c0, c0; \
	VMULPS Y15, c1, c1; \
	VMULPS Y15, c2, c2; \
	VMOVUPS c0, (DI); \
	VMOVUPS c1, 32(DI); \
	VMOVUPS c2, 64(DI); \
	ADDQ DX, DI

// func sgemmTileAVX2(k int, alpha float32, a, b, c *float32, ldc int, add bool)
TEXT ·sgemmTileAVX2(SB), NOSPLIT, $0-49
	ARGS(2)
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	VXORPS Y10, Y10, Y10
	VXORPS Y11, Y11, Y11
	MOVQ DI, SI
	MOVQ $4, R8
fetch:
	PREFETCHT0 (SI)
	PREFETCHT0 64(SI)
	ADDQ DX, SI
	DECQ R8
	JNZ fetch
	MOVQ CX, R8
	SHRQ $1, R8
	JZ odd
pair:
	SSTEP256
	SSTEP256
	DECQ R8
	JNZ pair
odd:
	TESTQ $1, CX
	JZ store
	SSTEP256
store:
	VBROADCASTSS alpha+8(FP), Y15
	TESTL R9, R9
	JZ set
	SADD256(Y0, Y1, Y2)
	SADD256(Y3, Y4, Y5)
	SADD256(Y6, Y7, Y8)
	SADD256(Y9, Y10, Y11)
	VZEROUPPER
	RET
set:
	SSET256(Y0, Y1, Y2)
	SSET256(Y3, Y4, Y5)
	SSET256(Y6, Y7, Y8)
	SSET256(Y9, Y10, Y11)
	VZEROUPPER
	RET

#define DROW256(i, c0, c1, c2) \
	VBROADCASTSD (i*8)(AX), Y15; \
	VFMADD231PD Y15, Y12, c0; \
	VFMADD231PD Y15, Y13, c1; \
	VFMADD231PD Y15, Y14, c2

#define DSTEP256 \
	VMOVUPD (BX), Y12; \
	VMOVUPD 32(BX), Y13; \
	VMOVUPD 64(BX), Y14; \
	DROW256(0, Y0, Y1, Y2); \
	DROW256(1, Y3, Y4, Y5); \
	DROW256(2, Y6, Y7, Y8); \
	DROW256(3, Y9, Y10, Y11); \
	ADDQ $32, AX; \
	ADDQ $96, BX

#define DADD256(c0, c1, c2) \
	VFMADD213PD (DI), Y15, c0; \
	VFMADD213PD 32(DI), Y15, c1; \
	VFMADD213PD 64(DI), Y15, c2; \
	VMOVUPD c0, (DI); \
	VMOVUPD c1, 32(DI); \
	VMOVUPD c2, 64(DI); \
	ADDQ DX, DI

#define DSET256(c0, c1, c2) \
	VMULPD Y15, c0, c0; \
	VMULPD Y15, c1, c1; \
	VMULPD Y15, c2, c2; \
	VMOVUPD c0, (DI); \
	VMOVUPD c1, 32(DI); \
	VMOVUPD c2, 64(DI); \
	ADDQ DX, DI

// func dgemmTileAVX2(k int, alpha float64, a, b, c *float64, ldc int, add bool)
TEXT ·dgemmTileAVX2(SB), NOSPLIT, $0-49
	ARGS(3)
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	VXORPS Y10, Y10, Y10
	VXORPS Y11, Y11, Y11
	MOVQ DI, SI
	MOVQ $4, R8
fetch:
	PREFETCHT0 (SI)
	PREFETCHT0 64(SI)
	ADDQ DX, SI
	DECQ R8
	JNZ fetch
	MOVQ CX, R8
	SHRQ $1, R8
	JZ odd
pair:
	DSTEP256
	DSTEP256
	DECQ R8
	JNZ pair
odd:
	TESTQ $1, CX
	JZ store
	DSTEP256
store:
	VBROADCASTSD alpha+8(FP), Y15
	TESTL R9, R9
	JZ set
	DADD256(Y0, Y1, Y2)
	DADD256(Y3, Y4, Y5)
	DADD256(Y6, Y7, Y8)
	DADD256(Y9, Y10, Y11)
	VZEROUPPER
	RET
set:
	DSET256(Y0, Y1, Y2)
	DSET256(Y3, Y4, Y5)
	DSET256(Y6, Y7, Y8)
	DSET256(Y9, Y10, Y11)
	VZEROUPPER
	RET
