#include "textflag.h"

// func adamWAVX(n int, k *adamWStep, p, grad, m, v *float32)
//
// n is a positive multiple of 8. The operations and their order are those of
// adamWStep.apply, none fused, so that the results are the same to the bit.
TEXT ·adamWAVX(SB), NOSPLIT, $0-48
	MOVQ n+0(FP), CX
	MOVQ k+8(FP), AX
	MOVQ p+16(FP), DI
	MOVQ grad+24(FP), SI
	MOVQ m+32(FP), R8
	MOVQ v+40(FP), R9
	VBROADCASTSS 0(AX), Y7   // shrink
	VBROADCASTSS 4(AX), Y8   // coef
	VBROADCASTSS 8(AX), Y9   // beta1
	VBROADCASTSS 12(AX), Y10 // rest1
	VBROADCASTSS 16(AX), Y11 // beta2
	VBROADCASTSS 20(AX), Y12 // rest2
	VBROADCASTSS 24(AX), Y13 // size
	VBROADCASTSS 28(AX), Y14 // root
	VBROADCASTSS 32(AX), Y15 // eps
	XORQ BX, BX

loop:
	VMULPS (SI)(BX*4), Y8, Y0  // g·coef
	VMULPS (R8)(BX*4), Y9, Y1  // β1·m
	VMULPS Y0, Y10, Y2
	VADDPS Y2, Y1, Y1          // m
	VMULPS (R9)(BX*4), Y11, Y3 // β2·v
	VMULPS Y0, Y12, Y2
	VMULPS Y0, Y2, Y2
	VADDPS Y2, Y3, Y3          // v
	VMOVUPS Y1, (R8)(BX*4)
	VMOVUPS Y3, (R9)(BX*4)
	VSQRTPS Y3, Y4
	VMULPS Y14, Y4, Y4
	VADDPS Y15, Y4, Y4
	VMULPS Y1, Y13, Y5
	VDIVPS Y4, Y5, Y5
	VMULPS (DI)(BX*4), Y7, Y6
	VSUBPS Y5, Y6, Y6
	VMOVUPS Y6, (DI)(BX*4)
	ADDQ $8, BX
	CMPQ BX, CX
	JLT loop
	VZEROUPPER
	RET
