/**
 * The DigitalOcean API that other tests stand on, over real HTTP and through the official client.
 * Proves: it keeps state as the API does, fails as the API does, and lets nothing pass that the API's own
 * description does not have.
 */
import "../digitalocean/suites/behaviour";
import "../digitalocean/suites/description";
import "../digitalocean/suites/machines";
import "../digitalocean/suites/official-client";
import "../digitalocean/suites/surroundings";
