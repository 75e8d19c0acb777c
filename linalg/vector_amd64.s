#include "textflag.h"

// Vector kernels (AVX2 and FMA). n is a multiple of 8 for float32 sums, of 4 for
// float64; the callers do the rest. Four accumulators hide the latency of the FMA.

// How far ahead of the weights that are multiplied memory is asked for: half a page,
// because the processor's own prefetching stops at each page's end.
#define AHEAD 2048

// Sum of the lanes of Y0 to Y3 into X0.
#define SUM32 \
	VADDPS Y1, Y0, Y0; \
	VADDPS Y3, Y2, Y2; \
	VADDPS Y2, Y0, Y0; \
	VEXTRACTF128 $1, Y0, X1; \
	VADDPS X1, X0, X0; \
	VHADDPS X0, X0, X0; \
	VHADDPS X0, X0, X0

#define ZERO4 \
	VXORPS Y0, Y0, Y0; \
	VXORPS Y1, Y1, Y1; \
	VXORPS Y2, Y2, Y2; \
	VXORPS Y3, Y3, Y3

// func sdotAVX2(n int, x, y *float32) float32
TEXT ·sdotAVX2(SB), NOSPLIT, $0-28
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DI
	ZERO4
	SUBQ $32, CX
	JLT eights
loop:
	VMOVUPS (SI), Y4
	VMOVUPS 32(SI), Y5
	VMOVUPS 64(SI), Y6
	VMOVUPS 96(SI), Y7
	VFMADD231PS (DI), Y4, Y0
	VFMADD231PS 32(DI), Y5, Y1
	VFMADD231PS 64(DI), Y6, Y2
	VFMADD231PS 96(DI), Y7, Y3
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JGE loop
eights:
	ADDQ $32, CX
	JZ done
eight:
	VMOVUPS (SI), Y4
	VFMADD231PS (DI), Y4, Y0
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ eight
done:
	SUM32
	VMOVSS X0, ret+24(FP)
	VZEROUPPER
	RET

// func sdotBF16AVX2(n int, a *uint16, x *float32) float32
TEXT ·sdotBF16AVX2(SB), NOSPLIT, $0-28
	MOVQ n+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ x+16(FP), DI
	ZERO4
	SUBQ $32, CX
	JLT eights
loop:
	PREFETCHT0 AHEAD(SI)
	VPMOVZXWD (SI), Y4
	VPMOVZXWD 16(SI), Y5
	VPMOVZXWD 32(SI), Y6
	VPMOVZXWD 48(SI), Y7
	VPSLLD $16, Y4, Y4
	VPSLLD $16, Y5, Y5
	VPSLLD $16, Y6, Y6
	VPSLLD $16, Y7, Y7
	VFMADD231PS (DI), Y4, Y0
	VFMADD231PS 32(DI), Y5, Y1
	VFMADD231PS 64(DI), Y6, Y2
	VFMADD231PS 96(DI), Y7, Y3
	ADDQ $64, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JGE loop
eights:
	ADDQ $32, CX
	JZ done
eight:
	VPMOVZXWD (SI), Y4
	VPSLLD $16, Y4, Y4
	VFMADD231PS (DI), Y4, Y0
	ADDQ $16, SI
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ eight
done:
	SUM32
	VMOVSS X0, ret+24(FP)
	VZEROUPPER
	RET

// func sdotF16AVX2(n int, a *uint16, x *float32) float32
TEXT ·sdotF16AVX2(SB), NOSPLIT, $0-28
	MOVQ n+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ x+16(FP), DI
	ZERO4
	SUBQ $32, CX
	JLT eights
loop:
	PREFETCHT0 AHEAD(SI)
	VCVTPH2PS (SI), Y4
	VCVTPH2PS 16(SI), Y5
	VCVTPH2PS 32(SI), Y6
	VCVTPH2PS 48(SI), Y7
	VFMADD231PS (DI), Y4, Y0
	VFMADD231PS 32(DI), Y5, Y1
	VFMADD231PS 64(DI), Y6, Y2
	VFMADD231PS 96(DI), Y7, Y3
	ADDQ $64, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JGE loop
eights:
	ADDQ $32, CX
	JZ done
eight:
	VCVTPH2PS (SI), Y4
	VFMADD231PS (DI), Y4, Y0
	ADDQ $16, SI
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ eight
done:
	SUM32
	VMOVSS X0, ret+24(FP)
	VZEROUPPER
	RET

// func widenF16AVX2(n int, dst *float32, src *uint16)
TEXT ·widenF16AVX2(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
loop:
	VCVTPH2PS (SI), Y0
	VMOVUPS Y0, (DI)
	ADDQ $16, SI
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// func sdotInt8GroupsAVX2(groups int, a *int8, scale, x *float32) float32
// Sum over groups of 32 of scale[g] times the group's inner product.
TEXT ·sdotInt8GroupsAVX2(SB), NOSPLIT, $0-36
	MOVQ groups+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ scale+16(FP), BX
	MOVQ x+24(FP), DI
	ZERO4
	TESTQ CX, CX
	JZ done
loop:
	PREFETCHT0 AHEAD(SI)
	VPMOVSXBD (SI), Y4
	VPMOVSXBD 8(SI), Y5
	VPMOVSXBD 16(SI), Y6
	VPMOVSXBD 24(SI), Y7
	VCVTDQ2PS Y4, Y4
	VCVTDQ2PS Y5, Y5
	VCVTDQ2PS Y6, Y6
	VCVTDQ2PS Y7, Y7
	VBROADCASTSS (BX), Y8
	VMULPS (DI), Y4, Y4
	VMULPS 32(DI), Y5, Y5
	VFMADD231PS 64(DI), Y6, Y4
	VFMADD231PS 96(DI), Y7, Y5
	VFMADD231PS Y4, Y8, Y0
	VFMADD231PS Y5, Y8, Y1
	ADDQ $32, SI
	ADDQ $4, BX
	ADDQ $128, DI
	DECQ CX
	JNZ loop
done:
	SUM32
	VMOVSS X0, ret+32(FP)
	VZEROUPPER
	RET

// func saxpyAVX2(n int, alpha float32, x, y *float32)
TEXT ·saxpyAVX2(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	VBROADCASTSS alpha+8(FP), Y15
	MOVQ x+16(FP), SI
	MOVQ y+24(FP), DI
	SUBQ $16, CX
	JLT eights
loop:
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VFMADD231PS (SI), Y15, Y0
	VFMADD231PS 32(SI), Y15, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $16, CX
	JGE loop
eights:
	ADDQ $16, CX
	JZ done
	VMOVUPS (DI), Y0
	VFMADD231PS (SI), Y15, Y0
	VMOVUPS Y0, (DI)
done:
	VZEROUPPER
	RET

// func ddotAVX2(n int, x, y *float64) float64
TEXT ·ddotAVX2(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DI
	ZERO4
	SUBQ $16, CX
	JLT fours
loop:
	VMOVUPD (SI), Y4
	VMOVUPD 32(SI), Y5
	VMOVUPD 64(SI), Y6
	VMOVUPD 96(SI), Y7
	VFMADD231PD (DI), Y4, Y0
	VFMADD231PD 32(DI), Y5, Y1
	VFMADD231PD 64(DI), Y6, Y2
	VFMADD231PD 96(DI), Y7, Y3
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $16, CX
	JGE loop
fours:
	ADDQ $16, CX
	JZ done
four:
	VMOVUPD (SI), Y4
	VFMADD231PD (DI), Y4, Y0
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $4, CX
	JNZ four
done:
	VADDPD Y1, Y0, Y0
	VADDPD Y3, Y2, Y2
	VADDPD Y2, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPD X1, X0, X0
	VHADDPD X0, X0, X0
	VMOVSD X0, ret+24(FP)
	VZEROUPPER
	RET

// func daxpyAVX2(n int, alpha float64, x, y *float64)
TEXT ·daxpyAVX2(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	VBROADCASTSD alpha+8(FP), Y15
	MOVQ x+16(FP), SI
	MOVQ y+24(FP), DI
	SUBQ $8, CX
	JLT fours
loop:
	VMOVUPD (DI), Y0
	VMOVUPD 32(DI), Y1
	VFMADD231PD (SI), Y15, Y0
	VFMADD231PD 32(SI), Y15, Y1
	VMOVUPD Y0, (DI)
	VMOVUPD Y1, 32(DI)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $8, CX
	JGE loop
fours:
	ADDQ $8, CX
	JZ done
	VMOVUPD (DI), Y0
	VFMADD231PD (SI), Y15, Y0
	VMOVUPD Y0, (DI)
done:
	VZEROUPPER
	RET

// func drotAVX2(n int, cos, sin float64, x, y *float64)
// x, y = cos*x - sin*y, sin*x + cos*y
TEXT ·drotAVX2(SB), NOSPLIT, $0-40
	MOVQ n+0(FP), CX
	VBROADCASTSD cos+8(FP), Y14
	VBROADCASTSD sin+16(FP), Y15
	MOVQ x+24(FP), SI
	MOVQ y+32(FP), DI
	TESTQ CX, CX
	JZ done
loop:
	VMOVUPD (SI), Y0
	VMOVUPD (DI), Y1
	VMULPD Y15, Y1, Y2
	VMULPD Y15, Y0, Y3
	VFMSUB231PD Y14, Y0, Y2
	VFMADD231PD Y14, Y1, Y3
	VMOVUPD Y2, (SI)
	VMOVUPD Y3, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $4, CX
	JNZ loop
done:
	VZEROUPPER
	RET
