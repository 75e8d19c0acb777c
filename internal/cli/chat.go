package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lep/chat"
	"lep/infer"
	"lep/internal/hint"
)

func (a *app) chatCmd() *cobra.Command {
	var g generateFlags
	var system string
	cmd := &cobra.Command{
		Use:   "chat --model DIR",
		Short: "Talk to an instruct model in the terminal",
		Long: `Talk to an instruct model in the terminal. A line is a message; a line that ends in \ goes on on the next. Ctrl-C stops an
answer, Ctrl-D ends the chat. Commands: /again (answer anew), /clear (forget the conversation), /system TEXT, /stats, /help.`,
		Example: "  lep chat --model ./llama3-ru-instruct --system 'Отвечай кратко.'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := a.openModel(g.model, g.precision)
			if err != nil {
				return err
			}
			defer e.Close()
			tok := e.Tokenizer()
			if tok == nil || tok.Config().ChatTemplate == "" {
				return hint.Errorf("a base model continues texts: lep generate --model "+g.model, "%s: has no chat template", g.model)
			}
			template, err := chat.Parse(tok.Config().ChatTemplate)
			if err != nil {
				return fmt.Errorf("%s: chat template: %w", g.model, err)
			}
			c := &conversation{a: a, e: e, template: template, base: g.request(cmd, a, e), terminal: isTerminal(a.out)}
			c.system(system)
			signal.Reset(os.Interrupt) // at the prompt Ctrl-C ends the chat, in an answer only the answer
			if c.terminal {
				fmt.Fprintf(a.err, "%s, context %s tokens. /help for commands, Ctrl-D to end.\n", g.model, thousands(int64(e.Context())))
			}
			return c.loop(cmd.Context())
		},
	}
	g.register(cmd, 1024)
	cmd.Flags().StringVar(&system, "system", "", "system message")
	return cmd
}

// conversation is a chat under way.
type conversation struct {
	a        *app
	e        *infer.Engine
	template *chat.Template
	base     infer.Request
	messages []chat.Message
	terminal bool

	tokens  int // of the last answer
	seconds float64
	prompt  int // tokens of the last prompt
}

// system sets or removes the system message and forgets the rest.
func (c *conversation) system(text string) {
	c.messages = nil
	if text != "" {
		c.messages = []chat.Message{{Role: "system", Content: text}}
	}
}

func (c *conversation) loop(ctx context.Context) error {
	in := bufio.NewReader(c.a.in)
	for {
		line, err := c.read(in)
		if errors.Is(err, io.EOF) {
			if c.terminal {
				fmt.Fprintln(c.a.out)
			}
			return nil
		}
		if err != nil {
			return err
		}
		again, done := c.command(line)
		if done {
			continue
		}
		if !again {
			c.messages = append(c.messages, chat.Message{Role: "user", Content: line})
		}
		if err := c.answer(ctx); err != nil {
			return err
		}
	}
}

// read returns the next message, without the marks that join its lines.
func (c *conversation) read(in *bufio.Reader) (string, error) {
	prompt := "> "
	var lines []string
	for {
		if c.terminal {
			fmt.Fprint(c.a.out, prompt)
		}
		line, err := in.ReadString('\n')
		if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		if rest, ok := strings.CutSuffix(line, `\`); ok {
			lines = append(lines, rest)
			prompt = "… "
			continue
		}
		return strings.Join(append(lines, line), "\n"), nil
	}
}

// command does what a line with a slash asks for; again says that the last answer is wanted anew.
func (c *conversation) command(line string) (again, done bool) {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch word {
	case "":
		return false, true
	case "/again":
		n := len(c.messages)
		if n == 0 || c.messages[n-1].Role != "assistant" {
			fmt.Fprintln(c.a.err, "there is no answer yet")
			return false, true
		}
		c.messages = c.messages[:n-1]
		c.base.Seed++
		return true, false
	case "/clear":
		keep := ""
		if len(c.messages) > 0 && c.messages[0].Role == "system" {
			keep = c.messages[0].Content
		}
		c.system(keep)
	case "/system":
		c.system(strings.TrimSpace(rest))
	case "/stats":
		fmt.Fprintf(c.a.err, "last answer: %d tokens in %.1f s (%.1f tokens/s) behind %d tokens of prompt\n",
			c.tokens, c.seconds, float64(c.tokens)/max(c.seconds, 1e-9), c.prompt)
	case "/help":
		fmt.Fprintln(c.a.err, "/again  /clear  /system TEXT  /stats  Ctrl-C stops an answer, Ctrl-D ends the chat")
	default:
		return false, false
	}
	return false, true
}

// answer writes the model's next message as it comes. Ctrl-C ends it and keeps what is there.
func (c *conversation) answer(ctx context.Context) error {
	special := chat.Special(c.e.Tokenizer().Config())
	text, err := c.template.Render(chat.Options{Messages: c.messages, AddGenerationPrompt: true, Special: special})
	if err != nil {
		return fmt.Errorf("chat template: %w", err)
	}
	r := c.base
	r.IDs = c.e.Tokenizer().Encode(text.Text)
	if left := c.e.Context() - len(r.IDs); left <= 0 {
		return hint.Errorf("/clear begins anew", "the conversation is longer than the model's context (%d tokens)", c.e.Context())
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	var said strings.Builder
	stopped := errors.New("stopped")
	r.OnToken = func(t infer.Token) error {
		said.WriteString(t.Text)
		fmt.Fprint(c.a.out, t.Text)
		if t.ID >= 0 {
			c.tokens++
		}
		if ctx.Err() != nil {
			return stopped
		}
		return nil
	}
	c.tokens, c.prompt = 0, len(r.IDs)
	began := time.Now()
	_, err = c.e.Generate(context.WithoutCancel(ctx), []infer.Request{r})
	c.seconds = time.Since(began).Seconds()
	fmt.Fprintln(c.a.out)
	if err != nil && !errors.Is(err, stopped) {
		return err
	}
	c.messages = append(c.messages, chat.Message{Role: "assistant", Content: strings.TrimSpace(said.String())})
	return nil
}
