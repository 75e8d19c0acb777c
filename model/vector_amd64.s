#include "textflag.h"

// Elementwise kernels (AVX2 and FMA) for n a positive multiple of 8; the callers do the
// rest in plain Go.

// Constants of exp8, each eight times: see exp32 in vector.go.
#define EIGHT(name, offset, value) \
	DATA name<>+(offset+0)(SB)/4, $value; \
	DATA name<>+(offset+4)(SB)/4, $value; \
	DATA name<>+(offset+8)(SB)/4, $value; \
	DATA name<>+(offset+12)(SB)/4, $value; \
	DATA name<>+(offset+16)(SB)/4, $value; \
	DATA name<>+(offset+20)(SB)/4, $value; \
	DATA name<>+(offset+24)(SB)/4, $value; \
	DATA name<>+(offset+28)(SB)/4, $value

EIGHT(expk, 0, 0x42b0c0a5)   // 88.37626, the largest argument
EIGHT(expk, 32, 0xc2ad0000)  // -86.5, below it the result is 0
EIGHT(expk, 64, 0x3fb8aa3b)  // log2(e)
EIGHT(expk, 96, 0x3f318000)  // ln 2, the high bits
EIGHT(expk, 128, 0xb95e8083) // ln 2, the rest
EIGHT(expk, 160, 0x39506967) // the polynomial
EIGHT(expk, 192, 0x3ab743ce)
EIGHT(expk, 224, 0x3c088908)
EIGHT(expk, 256, 0x3d2aa9c1)
EIGHT(expk, 288, 0x3e2aaaaa)
EIGHT(expk, 320, 0x3f000000)
EIGHT(expk, 352, 0x3f800000) // 1
EIGHT(expk, 384, 0x80000000) // the sign
GLOBL expk<>(SB), RODATA|NOPTR, $416

// EXP8 computes Y0 = exp(Y0); it uses Y1 to Y4. A NaN stays a NaN: VMINPS and VMAXPS
// return their last operand (the first one here) if either is NaN.
#define EXP8 \
	VCMPPS $5, expk<>+32(SB), Y0, Y3; \
	VMOVUPS expk<>+0(SB), Y1; \
	VMINPS Y0, Y1, Y0; \
	VMOVUPS expk<>+32(SB), Y1; \
	VMAXPS Y0, Y1, Y0; \
	VMULPS expk<>+64(SB), Y0, Y1; \
	VROUNDPS $0, Y1, Y1; \
	VFNMADD231PS expk<>+96(SB), Y1, Y0; \
	VFNMADD231PS expk<>+128(SB), Y1, Y0; \
	VMOVUPS expk<>+160(SB), Y2; \
	VFMADD213PS expk<>+192(SB), Y0, Y2; \
	VFMADD213PS expk<>+224(SB), Y0, Y2; \
	VFMADD213PS expk<>+256(SB), Y0, Y2; \
	VFMADD213PS expk<>+288(SB), Y0, Y2; \
	VFMADD213PS expk<>+320(SB), Y0, Y2; \
	VMULPS Y0, Y0, Y4; \
	VFMADD213PS Y0, Y4, Y2; \
	VADDPS expk<>+352(SB), Y2, Y2; \
	VCVTPS2DQ Y1, Y1; \
	VPSLLD $23, Y1, Y1; \
	VPADDD Y1, Y2, Y2; \
	VANDPS Y3, Y2, Y0

// SUM8 adds the lanes of Y8 into X8.
#define SUM8 \
	VEXTRACTF128 $1, Y8, X9; \
	VADDPS X9, X8, X8; \
	VHADDPS X8, X8, X8; \
	VHADDPS X8, X8, X8

// func expSumAVX2(n int, x *float32, shift float32) float32
TEXT ·expSumAVX2(SB), NOSPLIT, $0-28
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	VBROADCASTSS shift+16(FP), Y7
	VXORPS Y8, Y8, Y8
loop:
	VMOVUPS (SI), Y0
	VSUBPS Y7, Y0, Y0
	EXP8
	VMOVUPS Y0, (SI)
	VADDPS Y0, Y8, Y8
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ loop
	SUM8
	VMOVSS X8, ret+24(FP)
	VZEROUPPER
	RET

// func expTotalAVX2(n int, x *float32, shift float32) float32
TEXT ·expTotalAVX2(SB), NOSPLIT, $0-28
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	VBROADCASTSS shift+16(FP), Y7
	VXORPS Y8, Y8, Y8
loop:
	VMOVUPS (SI), Y0
	VSUBPS Y7, Y0, Y0
	EXP8
	VADDPS Y0, Y8, Y8
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ loop
	SUM8
	VMOVSS X8, ret+24(FP)
	VZEROUPPER
	RET

// func maximumAVX2(n int, x *float32) float32
TEXT ·maximumAVX2(SB), NOSPLIT, $0-20
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	VMOVUPS (SI), Y0
loop:
	VMAXPS (SI), Y0, Y0
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ loop
	VEXTRACTF128 $1, Y0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0x4e, X0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0xb1, X0, X1
	VMAXPS X1, X0, X0
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET

// func scaleAVX2(n int, x *float32, k float32)
TEXT ·scaleAVX2(SB), NOSPLIT, $0-20
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	VBROADCASTSS k+16(FP), Y1
loop:
	VMULPS (SI), Y1, Y0
	VMOVUPS Y0, (SI)
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// func softmaxBackwardAVX2(n int, dp, p *float32, delta float32)
TEXT ·softmaxBackwardAVX2(SB), NOSPLIT, $0-28
	MOVQ n+0(FP), CX
	MOVQ dp+8(FP), SI
	MOVQ p+16(FP), DI
	VBROADCASTSS delta+24(FP), Y1
loop:
	VMOVUPS (SI), Y0
	VSUBPS Y1, Y0, Y0
	VMULPS (DI), Y0, Y0
	VMOVUPS Y0, (SI)
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// func siluAVX2(n int, out, gate, up *float32)
TEXT ·siluAVX2(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	MOVQ out+8(FP), DI
	MOVQ gate+16(FP), SI
	MOVQ up+24(FP), DX
loop:
	VMOVUPS (SI), Y5
	VXORPS expk<>+384(SB), Y5, Y0
	EXP8
	VADDPS expk<>+352(SB), Y0, Y0
	VDIVPS Y0, Y5, Y0
	VMULPS (DX), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $32, DX
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// func siluBackwardAVX2(n int, dout, gate, up *float32)
TEXT ·siluBackwardAVX2(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	MOVQ dout+8(FP), DI
	MOVQ gate+16(FP), SI
	MOVQ up+24(FP), DX
	VMOVUPS expk<>+352(SB), Y10
loop:
	VMOVUPS (SI), Y5
	VXORPS expk<>+384(SB), Y5, Y0
	EXP8
	VADDPS Y10, Y0, Y0
	VDIVPS Y0, Y10, Y0     // s
	VMULPS Y5, Y0, Y6      // y = g s
	VMOVUPS (DX), Y7       // u
	VMOVUPS (DI), Y8       // d
	VSUBPS Y0, Y10, Y9     // 1 - s
	VFMADD213PS Y0, Y6, Y9 // s + y (1 - s)
	VMULPS Y7, Y6, Y11
	VMOVUPS Y11, (DI)      // y u
	VMULPS Y8, Y6, Y6
	VMOVUPS Y6, (DX)       // d y
	VMULPS Y8, Y7, Y7
	VMULPS Y9, Y7, Y7
	VMOVUPS Y7, (SI)       // d u (s + y (1 - s))
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $32, DX
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// SUM4D adds the lanes of Y8 and Y9 (float64) into X8.
#define SUM4D \
	VADDPD Y9, Y8, Y8; \
	VEXTRACTF128 $1, Y8, X9; \
	VADDPD X9, X8, X8; \
	VHADDPD X8, X8, X8

// func sumSquaresAVX2(n int, x *float32) float64
TEXT ·sumSquaresAVX2(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	VXORPD Y8, Y8, Y8
	VXORPD Y9, Y9, Y9
loop:
	VCVTPS2PD (SI), Y0
	VCVTPS2PD 16(SI), Y1
	VFMADD231PD Y0, Y0, Y8
	VFMADD231PD Y1, Y1, Y9
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ loop
	SUM4D
	VMOVSD X8, ret+16(FP)
	VZEROUPPER
	RET

// func normRowAVX2(n int, y, x, w *float32, plus, r float32)
TEXT ·normRowAVX2(SB), NOSPLIT, $0-40
	MOVQ n+0(FP), CX
	MOVQ y+8(FP), DI
	MOVQ x+16(FP), SI
	MOVQ w+24(FP), DX
	VBROADCASTSS plus+32(FP), Y6
	VBROADCASTSS r+36(FP), Y7
loop:
	VMULPS (SI), Y7, Y0
	VADDPS (DX), Y6, Y1
	VMULPS Y1, Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $32, DX
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// func normDotAVX2(n int, dy, x, w *float32, plus float32) float64
TEXT ·normDotAVX2(SB), NOSPLIT, $0-48
	MOVQ n+0(FP), CX
	MOVQ dy+8(FP), DI
	MOVQ x+16(FP), SI
	MOVQ w+24(FP), DX
	VBROADCASTSS plus+32(FP), Y6
	VXORPD Y8, Y8, Y8
	VXORPD Y9, Y9, Y9
loop:
	VADDPS (DX), Y6, Y1
	VMULPS (DI), Y1, Y1
	VMULPS (SI), Y1, Y1
	VEXTRACTF128 $1, Y1, X2
	VCVTPS2PD X1, Y1
	VCVTPS2PD X2, Y2
	VADDPD Y1, Y8, Y8
	VADDPD Y2, Y9, Y9
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $32, DX
	SUBQ $8, CX
	JNZ loop
	SUM4D
	VMOVSD X8, ret+40(FP)
	VZEROUPPER
	RET

// func normRowBackwardAVX2(n int, dx, dy, x, w *float32, plus, r, k float32, assign bool)
TEXT ·normRowBackwardAVX2(SB), NOSPLIT, $0-53
	MOVQ n+0(FP), CX
	MOVQ dx+8(FP), DI
	MOVQ dy+16(FP), SI
	MOVQ x+24(FP), DX
	MOVQ w+32(FP), BX
	VBROADCASTSS plus+40(FP), Y6
	VBROADCASTSS r+44(FP), Y7
	VBROADCASTSS k+48(FP), Y5
	MOVBLZX assign+52(FP), AX
loop:
	VADDPS (BX), Y6, Y1
	VMULPS (SI), Y1, Y1
	VMOVUPS (DX), Y2
	VFNMADD231PS Y5, Y2, Y1 // dy (w + plus) - x k
	TESTL AX, AX
	JNZ write
	VFMADD213PS (DI), Y7, Y1
	JMP store
write:
	VMULPS Y7, Y1, Y1
store:
	VMOVUPS Y1, (DI)
	ADDQ $32, DI
	ADDQ $32, SI
	ADDQ $32, DX
	ADDQ $32, BX
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// func addProductAVX2(n int, dw, dy, x *float32, r float32)
TEXT ·addProductAVX2(SB), NOSPLIT, $0-36
	MOVQ n+0(FP), CX
	MOVQ dw+8(FP), DI
	MOVQ dy+16(FP), SI
	MOVQ x+24(FP), DX
	VBROADCASTSS r+32(FP), Y7
loop:
	VMULPS (SI), Y7, Y0
	VMOVUPS (DI), Y1
	VFMADD231PS (DX), Y0, Y1
	VMOVUPS Y1, (DI)
	ADDQ $32, DI
	ADDQ $32, SI
	ADDQ $32, DX
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// func rotateAVX2(n int, a, b, cos, sin *float32)
TEXT ·rotateAVX2(SB), NOSPLIT, $0-40
	MOVQ n+0(FP), CX
	MOVQ a+8(FP), DI
	MOVQ b+16(FP), SI
	MOVQ cos+24(FP), DX
	MOVQ sin+32(FP), BX
loop:
	VMOVUPS (DI), Y0
	VMOVUPS (SI), Y1
	VMOVUPS (DX), Y2
	VMOVUPS (BX), Y3
	VMULPS Y3, Y1, Y4
	VMULPS Y3, Y0, Y5
	VFMSUB213PS Y4, Y2, Y0 // a c - b s
	VFMADD213PS Y5, Y2, Y1 // b c + a s
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, (SI)
	ADDQ $32, DI
	ADDQ $32, SI
	ADDQ $32, DX
	ADDQ $32, BX
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// func rotateBackwardAVX2(n int, a, b, cos, sin *float32)
TEXT ·rotateBackwardAVX2(SB), NOSPLIT, $0-40
	MOVQ n+0(FP), CX
	MOVQ a+8(FP), DI
	MOVQ b+16(FP), SI
	MOVQ cos+24(FP), DX
	MOVQ sin+32(FP), BX
loop:
	VMOVUPS (DI), Y0
	VMOVUPS (SI), Y1
	VMOVUPS (DX), Y2
	VMOVUPS (BX), Y3
	VMULPS Y3, Y1, Y4
	VMULPS Y3, Y0, Y5
	VFMADD213PS Y4, Y2, Y0 // a c + b s
	VFMSUB213PS Y5, Y2, Y1 // b c - a s
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, (SI)
	ADDQ $32, DI
	ADDQ $32, SI
	ADDQ $32, DX
	ADDQ $32, BX
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// func addBiasAVX2(n int, y, b *float32)
TEXT ·addBiasAVX2(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ y+8(FP), DI
	MOVQ b+16(FP), SI
loop:
	VMOVUPS (DI), Y0
	VADDPS (SI), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ $32, DI
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// REDUCE adds the lanes of an accumulator and stores the sum at offset(R11).
#define REDUCE(y, x, offset) \
	VEXTRACTF128 $1, y, X15; \
	VADDPS X15, x, x; \
	VHADDPS x, x, x; \
	VHADDPS x, x, x; \
	VMOVSS x, offset(R11)

#define REDUCE8 \
	REDUCE(Y0, X0, 0); \
	REDUCE(Y1, X1, 4); \
	REDUCE(Y2, X2, 8); \
	REDUCE(Y3, X3, 12); \
	REDUCE(Y4, X4, 16); \
	REDUCE(Y5, X5, 20); \
	REDUCE(Y6, X6, 24); \
	REDUCE(Y7, X7, 28)

#define DOTS2X4START \
	SHLQ $2, DX; \
	LEAQ (SI)(DX*2), R10; \
	ADDQ DX, R10; \
	VXORPS Y0, Y0, Y0; \
	VXORPS Y1, Y1, Y1; \
	VXORPS Y2, Y2, Y2; \
	VXORPS Y3, Y3, Y3; \
	VXORPS Y4, Y4, Y4; \
	VXORPS Y5, Y5, Y5; \
	VXORPS Y6, Y6, Y6; \
	VXORPS Y7, Y7, Y7

// Y8 and Y9 are 8 weights of the two rows.
#define DOTS2X4STEP \
	VMOVUPS (SI), Y10; \
	VMOVUPS (SI)(DX*1), Y11; \
	VMOVUPS (SI)(DX*2), Y12; \
	VMOVUPS (R10), Y13; \
	VFMADD231PS Y8, Y10, Y0; \
	VFMADD231PS Y8, Y11, Y1; \
	VFMADD231PS Y8, Y12, Y2; \
	VFMADD231PS Y8, Y13, Y3; \
	VFMADD231PS Y9, Y10, Y4; \
	VFMADD231PS Y9, Y11, Y5; \
	VFMADD231PS Y9, Y12, Y6; \
	VFMADD231PS Y9, Y13, Y7; \
	ADDQ $32, SI; \
	ADDQ $32, R10

// func dots2x4AVX2(n int, w0, w1, x *float32, ldx int, sums *[8]float32)
TEXT ·dots2x4AVX2(SB), NOSPLIT, $0-48
	MOVQ n+0(FP), CX
	MOVQ w0+8(FP), R8
	MOVQ w1+16(FP), R9
	MOVQ x+24(FP), SI
	MOVQ ldx+32(FP), DX
	MOVQ sums+40(FP), R11
	DOTS2X4START
loop:
	VMOVUPS (R8), Y8
	VMOVUPS (R9), Y9
	DOTS2X4STEP
	ADDQ $32, R8
	ADDQ $32, R9
	SUBQ $8, CX
	JNZ loop
	REDUCE8
	VZEROUPPER
	RET

// func dots2x4BF16AVX2(n int, w0, w1 *uint16, x *float32, ldx int, sums *[8]float32)
TEXT ·dots2x4BF16AVX2(SB), NOSPLIT, $0-48
	MOVQ n+0(FP), CX
	MOVQ w0+8(FP), R8
	MOVQ w1+16(FP), R9
	MOVQ x+24(FP), SI
	MOVQ ldx+32(FP), DX
	MOVQ sums+40(FP), R11
	DOTS2X4START
loop:
	VPMOVZXWD (R8), Y8
	VPMOVZXWD (R9), Y9
	VPSLLD $16, Y8, Y8
	VPSLLD $16, Y9, Y9
	DOTS2X4STEP
	ADDQ $16, R8
	ADDQ $16, R9
	SUBQ $8, CX
	JNZ loop
	REDUCE8
	VZEROUPPER
	RET
