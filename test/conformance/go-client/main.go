// A program of the official SDK for Go, as a user writes it: it prints what the server told it, a line each.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/anthropics/anthropic-sdk-go"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func text(of string) *anthropic.BetaManagedAgentsTextBlockParam {
	return &anthropic.BetaManagedAgentsTextBlockParam{Type: anthropic.BetaManagedAgentsTextBlockTypeText, Text: of}
}

func message(of string) anthropic.BetaManagedAgentsEventParamsUnion {
	return anthropic.BetaManagedAgentsEventParamsUnion{OfUserMessage: &anthropic.BetaManagedAgentsUserMessageEventParams{
		Type:    anthropic.BetaManagedAgentsUserMessageEventParamsTypeUserMessage,
		Content: []anthropic.BetaManagedAgentsUserMessageEventParamsContentUnion{{OfText: text(of)}},
	}}
}

func result(of anthropic.BetaManagedAgentsAgentCustomToolUseEvent, said string) anthropic.BetaManagedAgentsEventParamsUnion {
	return anthropic.BetaManagedAgentsEventParamsUnion{
		OfUserCustomToolResult: &anthropic.BetaManagedAgentsUserCustomToolResultEventParams{
			Type:            anthropic.BetaManagedAgentsUserCustomToolResultEventParamsTypeUserCustomToolResult,
			CustomToolUseID: of.ID,
			Content:         []anthropic.BetaManagedAgentsUserCustomToolResultEventParamsContentUnion{{OfText: text(said)}},
		},
	}
}

func tools() []anthropic.BetaAgentNewParamsToolUnion {
	return []anthropic.BetaAgentNewParamsToolUnion{
		{OfAgentToolset20260401: &anthropic.BetaManagedAgentsAgentToolset20260401Params{
			Type: anthropic.BetaManagedAgentsAgentToolset20260401ParamsTypeAgentToolset20260401,
		}},
		{OfCustom: &anthropic.BetaManagedAgentsCustomToolParams{
			Type:        anthropic.BetaManagedAgentsCustomToolParamsTypeCustom,
			Name:        "lookup",
			Description: "Asks the client.",
			InputSchema: anthropic.BetaManagedAgentsCustomToolInputSchemaParam{Properties: map[string]any{}},
		}},
	}
}

// Usage: go-client <model> <message>, with ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY.
func main() {
	ctx := context.Background()
	client := anthropic.NewClient()

	environment, err := client.Beta.Environments.New(ctx, anthropic.BetaEnvironmentNewParams{Name: "go"})
	check(err)
	agent, err := client.Beta.Agents.New(ctx, anthropic.BetaAgentNewParams{
		Name:  "go",
		Model: anthropic.BetaManagedAgentsModelConfigParams{ID: anthropic.BetaManagedAgentsModel(os.Args[1])},
		Tools: tools(),
	})
	check(err)
	session, err := client.Beta.Sessions.New(ctx, anthropic.BetaSessionNewParams{
		Agent:         anthropic.BetaSessionNewParamsAgentUnion{OfString: anthropic.String(agent.ID)},
		EnvironmentID: environment.ID,
		Title:         anthropic.String("of Go"),
	})
	check(err)
	fmt.Println("session:", session.Status, session.Agent.Version)

	send := func(event anthropic.BetaManagedAgentsEventParamsUnion) {
		_, err := client.Beta.Sessions.Events.Send(ctx, session.ID, anthropic.BetaSessionEventSendParams{
			Events: []anthropic.BetaManagedAgentsEventParamsUnion{event},
		})
		check(err)
	}
	stream := client.Beta.Sessions.Events.StreamEvents(ctx, session.ID, anthropic.BetaSessionEventStreamParams{})
	send(message(os.Args[2]))
	follow(stream.Next, stream.Current, send)
	check(stream.Err())
	check(stream.Close())

	count := 0
	events := client.Beta.Sessions.Events.ListAutoPaging(ctx, session.ID, anthropic.BetaSessionEventListParams{Limit: anthropic.Int(3)})
	for events.Next() {
		count++
	}
	check(events.Err())
	fmt.Println("more than one page:", count > 3)

	_, err = client.Beta.Sessions.Archive(ctx, session.ID, anthropic.BetaSessionArchiveParams{})
	check(err)
	_, err = client.Beta.Sessions.Get(ctx, "sesn_01AAAAAAAAAAAAAAAAAAAAAA", anthropic.BetaSessionGetParams{})
	var refused *anthropic.Error
	fmt.Println("refused:", errors.As(err, &refused) && refused.StatusCode == 404 && refused.RequestID != "")
}

// follow prints what is said until the turn ends, and answers the tool that is asked for.
func follow(
	next func() bool,
	current func() anthropic.BetaManagedAgentsStreamSessionEventsUnion,
	send func(anthropic.BetaManagedAgentsEventParamsUnion),
) {
	var asked anthropic.BetaManagedAgentsAgentCustomToolUseEvent
	for next() {
		switch event := current().AsAny().(type) {
		case anthropic.BetaManagedAgentsAgentToolResultEvent:
			fmt.Println("result:", event.Content[0].Text)
		case anthropic.BetaManagedAgentsAgentCustomToolUseEvent:
			asked = event
		case anthropic.BetaManagedAgentsAgentMessageEvent:
			fmt.Println("said:", event.Content[0].Text)
		case anthropic.BetaManagedAgentsSessionStatusIdleEvent:
			fmt.Println("idle:", event.StopReason.Type)
			if event.StopReason.Type != "requires_action" {
				return
			}
			send(result(asked, "the answer of the client"))
		}
	}
}
