//go:build !lep_static && (linux || darwin) && (amd64 || arm64)

package linalg

import (
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// threadSetting remembers for how many threads a library was last configured: its
// setting is one for the whole process, ours one per BLAS value.
var threadSetting struct {
	sync.Mutex
	of map[uintptr]int
}

func (b *libraryBLAS) Name() string { return b.name }

// Threads returns the number of processors it was opened for.
func (b *libraryBLAS) Threads() int { return b.threads }

func (b *libraryBLAS) applyThreads() {
	threadSetting.Lock()
	defer threadSetting.Unlock()
	if threadSetting.of == nil {
		threadSetting.of = map[uintptr]int{}
	}
	if threadSetting.of[b.sgemm] != b.threads {
		b.setThreads(b.threads)
		threadSetting.of[b.sgemm] = b.threads
	}
}

func letter(trans bool) byte {
	if trans {
		return 'T'
	}
	return 'N'
}

func (b *libraryBLAS) SGEMM(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, bm []float32, ldb int, beta float32, c []float32, ldc int) {
	checkGEMM(transA, transB, m, n, k, len(a), lda, len(bm), ldb, len(c), ldc)
	if onlyScaled(m, n, k, alpha, beta, c, ldc, false) {
		return
	}
	x := b.args.Get().(*fortranArgs)
	x.alpha32, x.beta32 = alpha, beta
	b.gemm(b.sgemm, x, transA, transB, m, n, k, unsafe.Pointer(&x.alpha32), unsafe.Pointer(&a[0]), lda, unsafe.Pointer(&bm[0]), ldb, unsafe.Pointer(&x.beta32), unsafe.Pointer(&c[0]), ldc)
}

func (b *libraryBLAS) DGEMM(transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, bm []float64, ldb int, beta float64, c []float64, ldc int) {
	checkGEMM(transA, transB, m, n, k, len(a), lda, len(bm), ldb, len(c), ldc)
	if onlyScaled(m, n, k, alpha, beta, c, ldc, false) {
		return
	}
	x := b.args.Get().(*fortranArgs)
	x.alpha, x.beta = alpha, beta
	b.gemm(b.dgemm, x, transA, transB, m, n, k, unsafe.Pointer(&x.alpha), unsafe.Pointer(&a[0]), lda, unsafe.Pointer(&bm[0]), ldb, unsafe.Pointer(&x.beta), unsafe.Pointer(&c[0]), ldc)
}

// gemm calls Cᵀ = op(B)ᵀ op(A)ᵀ and gives x back to the pool.
func (b *libraryBLAS) gemm(fn uintptr, x *fortranArgs, transA, transB bool, m, n, k int, alpha, pa unsafe.Pointer, lda int, pb unsafe.Pointer, ldb int, beta, pc unsafe.Pointer, ldc int) {
	b.applyThreads()
	x.transA, x.transB = letter(transA), letter(transB)
	x.m, x.n, x.k = int64(m), int64(n), int64(k)
	x.lda, x.ldb, x.ldc = int64(lda), int64(ldb), int64(ldc)
	purego.SyscallN(fn, uintptr(unsafe.Pointer(&x.transB)), uintptr(unsafe.Pointer(&x.transA)),
		uintptr(unsafe.Pointer(&x.n)), uintptr(unsafe.Pointer(&x.m)), uintptr(unsafe.Pointer(&x.k)), uintptr(alpha),
		uintptr(pb), uintptr(unsafe.Pointer(&x.ldb)), uintptr(pa), uintptr(unsafe.Pointer(&x.lda)), uintptr(beta),
		uintptr(pc), uintptr(unsafe.Pointer(&x.ldc)), 1, 1) // the lengths of the two letters
	b.args.Put(x)
}

func (b *libraryBLAS) DSYRK(n, k int, alpha float64, a []float64, lda int, beta float64, c []float64, ldc int) {
	checkGEMM(true, false, n, n, k, len(a), lda, len(a), lda, len(c), ldc)
	if onlyScaled(n, n, k, alpha, beta, c, ldc, true) {
		return
	}
	b.applyThreads()
	x := b.args.Get().(*fortranArgs)
	x.uplo, x.transA = 'L', 'N'
	x.n, x.k, x.lda, x.ldc, x.alpha, x.beta = int64(n), int64(k), int64(lda), int64(ldc), alpha, beta
	purego.SyscallN(b.dsyrk, uintptr(unsafe.Pointer(&x.uplo)), uintptr(unsafe.Pointer(&x.transA)),
		uintptr(unsafe.Pointer(&x.n)), uintptr(unsafe.Pointer(&x.k)), uintptr(unsafe.Pointer(&x.alpha)),
		uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&x.lda)), uintptr(unsafe.Pointer(&x.beta)),
		uintptr(unsafe.Pointer(&c[0])), uintptr(unsafe.Pointer(&x.ldc)), 1, 1)
	b.args.Put(x)
}
