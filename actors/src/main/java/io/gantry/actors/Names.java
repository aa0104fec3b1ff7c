package io.gantry.actors;

import java.util.regex.Pattern;

/** The rule for names of nodes and containers: they become directory names, cgroup names and cluster roles. */
public final class Names {
  /** To be put behind "The node name 'x' ". */
  public static final String RULE =
      "must have 1 to 63 letters, digits, dots, dashes or underscores, and begin with a letter or digit.";

  private static final Pattern VALID = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}");

  private Names() {}

  public static boolean isValid(String name) {
    return VALID.matcher(name).matches();
  }
}
