package embedding

import "lep/tensor"

// RoundedRows is Rows as the authors' code computes them, with torch on a processor:
// sums in float32 in torch's order, and every row rounded to the dtype of e before it is
// widened.
func (op *Operator) RoundedRows(dst []float64, e tensor.View, from, n int) {
	d := e.Cols()
	var rows []float32
	sum := make([]float32, d)
	raw := make([]byte, d*e.DType.Size())
	for i := range n {
		row := from + i
		ids := op.IDs(row)
		if len(rows) < len(ids)*d {
			rows = make([]float32, len(ids)*d)
		}
		for k, id := range ids {
			one := rows[k*d : (k+1)*d]
			tensor.Decode32(one, e.Row(int(id)), e.DType)
			if op.weighted(row) && len(ids) > 1 {
				w := float32(op.weights[int(op.start[row])+k])
				for j := range one {
					one[j] *= w
				}
			}
		}
		torchSum(sum, rows, len(ids))
		div := float32(op.divisor(row))
		if !op.weighted(row) && op.combine == Mean {
			div *= float32(len(ids))
		}
		for j := range sum {
			sum[j] /= div
		}
		tensor.Encode32(raw, sum, e.DType)
		tensor.Decode64(dst[i*d:(i+1)*d], raw, e.DType)
	}
}

// torchSum adds n rows (n, D) as torch's sum over the first dimension does: columns in
// whole groups of four vectors of 16 one row after the other, the columns that are left
// over in four interleaved partial sums. (Its cascade for 16 rows and more changes
// nothing for the lengths of subtoken lists.)
func torchSum(sum, rows []float32, n int) {
	d := len(sum)
	const group = 4 * 16
	straight := d / group * group
	if n < 4 {
		straight = d
	}
	clear(sum)
	for k := range n {
		for j, x := range rows[k*d : k*d+straight] {
			sum[j] += x
		}
	}
	for j := straight; j < d; j++ {
		var part [4]float32
		whole := n / 4 * 4
		for k := range whole {
			part[k%4] += rows[k*d+j]
		}
		for k := whole; k < n; k++ {
			part[0] += rows[k*d+j]
		}
		sum[j] = part[0] + part[1] + part[2] + part[3]
	}
}
