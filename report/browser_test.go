package report

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser starts a headless browser, or skips the test where none is installed.
func browser(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: looking at pages in a browser is left to the full run")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(time.Minute))
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		t.Cleanup(cancel)
		ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
		t.Cleanup(cancel)
		ctx, cancel = chromedp.NewContext(ctx)
		t.Cleanup(cancel)
		return ctx
	}
	t.Skip("no browser is installed (chromium or google-chrome): the page is not looked at")
	return nil
}

// TestPageInBrowser opens the page on a desk and a phone, light and dark: nothing is wider than the
// screen, the style sheet applies, the browser reports nothing, and the filter filters. With
// LEP_PICTURES=DIR the page and pictures of it are kept there for a person to look at.
func TestPageInBrowser(t *testing.T) {
	ctx := browser(t)
	dir := os.Getenv("LEP_PICTURES")
	if dir == "" {
		dir = t.TempDir()
	}
	file, err := filepath.Abs(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(render(t, fullRun())), 0o644); err != nil {
		t.Fatal(err)
	}
	complaints := listen(t, ctx)
	backgrounds := map[string]string{}
	for _, mode := range []struct {
		name, scheme  string
		width, height int64
		phone         bool
	}{{"light", "light", 1100, 900, false}, {"dark", "dark", 1100, 900, false}, {"phone", "light", 390, 844, true}, {"phone-dark", "dark", 390, 844, true}} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: mode.scheme}}}
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
			t.Fatal(err)
		}
		mobile := func(p *emulation.SetDeviceMetricsOverrideParams, _ *emulation.SetTouchEmulationEnabledParams) {
			p.Mobile = mode.phone
		}
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(mode.width, mode.height, mobile), chromedp.Navigate((&url.URL{Scheme: "file", Path: file}).String())); err != nil {
			t.Fatal(err)
		}
		excess := ask[int](t, ctx, `for (const d of document.querySelectorAll("details")) d.open = true; document.documentElement.scrollWidth - innerWidth`)
		background := ask[string](t, ctx, `getComputedStyle(document.body).backgroundColor`)
		shown := ask[string](t, ctx, `document.getElementById("count").textContent`)
		picture(t, ctx, mode.name)
		wrong := ask[string](t, ctx, `document.getElementById("wrong").click(); document.getElementById("count").textContent`)
		if excess > 0 {
			t.Errorf("%s: the page is %d pixels wider than the screen", mode.name, excess)
		}
		if shown != "2 shown" || wrong != "1 shown" {
			t.Errorf("%s: %q, only wrong ones %q; want 2 and 1", mode.name, shown, wrong)
		}
		backgrounds[mode.scheme] = background
	}
	if backgrounds["light"] == backgrounds["dark"] {
		t.Errorf("light and dark look the same: %s", backgrounds["light"])
	}
	if said := complaints(); said != "" {
		t.Errorf("the browser complains: %s", said)
	}
}

// ask evaluates an expression in the page.
func ask[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("LEP_PICTURES")
	if dir == "" {
		return
	}
	data, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

// listen collects what a browser has against a page: blocked styles and scripts, exceptions.
func listen(t *testing.T, ctx context.Context) func() string {
	t.Helper()
	var mu sync.Mutex
	var said []string
	err := chromedp.Listen(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *log.EventEntryAdded:
			said = append(said, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			said = append(said, fmt.Sprint(e.ExceptionDetails))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(said, "; ")
	}
}
