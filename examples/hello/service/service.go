// Package service is what the three services share: they listen on port 80,
// answer health checks ("NAME check"), and stop on SIGTERM.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

// Run serves h until the service is told to stop. With the argument "check"
// it asks the running service for its health instead.
func Run(h http.HandlerFunc) {
	if len(os.Args) > 1 && os.Args[1] == "check" {
		if _, err := Fetch("http://localhost/health"); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/{$}", h)
	server := &http.Server{Addr: ":80", Handler: mux}
	go func() {
		log.Print("listening on port 80")
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	server.Shutdown(context.Background()) // answers what is under way
}

// Fetch gives the body of url.
func Fetch(url string) (string, error) {
	answer, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return string(body), err
}
