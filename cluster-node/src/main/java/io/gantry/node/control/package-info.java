/**
 * The Unix domain socket between the command line and the node: one JSON object per line, one request per connection. Only the owner
 * of the node may use it; requests are bounded in size and time. What a request means is not known here.
 */
package io.gantry.node.control;
