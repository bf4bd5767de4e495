/**
 * The DigitalOcean API that other tests stand on, over real HTTP and through the official client.
 * Proves: it keeps state as the API does, fails as the API does, and lets nothing pass that the API's own
 * description does not have.
 */
import "../fakes/digitalocean/suites/behaviour";
import "../fakes/digitalocean/suites/description";
import "../fakes/digitalocean/suites/machines";
import "../fakes/digitalocean/suites/official-client";
import "../fakes/digitalocean/suites/surroundings";
import { closeApis } from "../fakes/digitalocean/suites/rig";

closeApis();
