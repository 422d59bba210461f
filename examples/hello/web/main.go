// Web is the page that people see.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"hello/service"
)

func main() {
	service.Run(func(w http.ResponseWriter, r *http.Request) {
		greeting, err := service.Fetch(os.Getenv("API"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		log.Printf("%s %s: %s", r.Method, r.URL.Path, greeting)
		fmt.Fprintf(w, "<!doctype html><title>hello</title><h1>%s</h1>\n", greeting)
	})
}
