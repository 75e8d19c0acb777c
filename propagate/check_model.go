package propagate

import "context"

// CheckModel runs only those acceptance checks that need opts.Engine: a greedy answer that
// stops at a stop token, bits per byte of opts.Texts, equal logits after reloading. Run has done
// the others on what it wrote.
func CheckModel(ctx context.Context, dir string, opts CheckOptions) ([]Check, error) {
	m, err := openModel("result", dir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	c := &checker{ctx: ctx, m: m, opts: opts}
	c.engine()
	return c.out, ctx.Err()
}
