// Command go connects to a WebSocket, prints every message as a line, and sends every line of its standard input.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/coder/websocket"
)

func main() {
	ctx := context.Background()
	socket, _, err := websocket.Dial(ctx, os.Args[1], nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			if err := socket.Write(ctx, websocket.MessageText, lines.Bytes()); err != nil {
				return
			}
		}
	}()
	for {
		_, data, err := socket.Read(ctx)
		if err != nil {
			fmt.Printf("{\"type\":\"closed\",\"code\":%d}\n", websocket.CloseStatus(err))
			return
		}
		fmt.Println(string(data))
	}
}
