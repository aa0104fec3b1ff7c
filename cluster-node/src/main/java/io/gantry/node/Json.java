package io.gantry.node;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;

/** JSON as the command line, the control socket and the status files write it: trees, one object per line, names in snake_case. */
public final class Json {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private Json() {}

  public static ObjectNode object() {
    return MAPPER.createObjectNode();
  }

  /** A record with Jackson's annotations as a tree. */
  public static ObjectNode object(Record value) {
    return MAPPER.valueToTree(value);
  }

  public static ArrayNode array() {
    return MAPPER.createArrayNode();
  }

  /** One line, without the line break. */
  public static String line(JsonNode tree) {
    try {
      return MAPPER.writeValueAsString(tree);
    } catch (JsonProcessingException impossible) {
      throw new IllegalStateException("a JSON tree could not be written: " + impossible.getMessage(), impossible);
    }
  }

  /**
   * Reads one object.
   *
   * @throws IOException when the text is not exactly one JSON object
   */
  public static ObjectNode parse(String text) throws IOException {
    try (var parser = MAPPER.createParser(text)) {
      JsonNode tree = MAPPER.readTree(parser);
      if (!(tree instanceof ObjectNode object)) {
        throw new IOException("not a JSON object");
      }
      if (parser.nextToken() != null) {
        throw new IOException("something follows the JSON object");
      }
      return object;
    }
  }

  /** Rounds to three decimals, which is enough for milliseconds and keeps figures readable. */
  public static double round(double value) {
    return Math.round(value * 1000.0) / 1000.0;
  }

  /** Nanoseconds as milliseconds with three decimals. */
  public static double millis(long nanoseconds) {
    return round(nanoseconds / 1e6);
  }
}
