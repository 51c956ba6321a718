// Counts the cells of each class on any Arduino with a serial port, and flashes its light for each. Lights it on
// command, and tells the host of a button between pin 2 and ground.
// The counts live in RAM: a reset loses them, and this sketch tells the host so (RAM_ONLY).

#include <EdgeWbcLink.h>

static const uint8_t BUTTON = 2;

static ewbc_link instrument;
uint32_t counts[EWBC_COUNTED_LABELS + 1];  // of label 1, 2, 3 …; unidentified ones at 0

static bool timed;
static uint32_t darkAt;

static bool apply(void *, uint32_t, const ewbc_message *message) {
  if (message->type == EWBC_TYPE_CELL_RESULT) {
    const uint8_t label = message->as.cell.label;
    counts[label == EWBC_LABEL_UNIDENTIFIED ? 0 : label]++;
    digitalWrite(LED_BUILTIN, !digitalRead(LED_BUILTIN));
  }
  return true;
}

static bool startStream(void *, uint32_t) {
  return true;
}

static void writeBytes(void *, const uint8_t *data, uint8_t length) {
  Serial.write(data, length);
}

static uint8_t beginCommand(void *, const ewbc_command *command, int32_t *) {
  if (command->opcode != EWBC_OPCODE_INDICATOR) {
    return EWBC_STATUS_UNSUPPORTED;
  }
  digitalWrite(LED_BUILTIN, HIGH);
  timed = command->arguments[1] > 0;
  darkAt = millis() + command->arguments[1];
  return EWBC_STATUS_DONE;
}

static void stopAll(void *) {
  timed = false;
  digitalWrite(LED_BUILTIN, LOW);
}

static ewbc_control_state controlState;

static const ewbc_control control = {
  ewbc_control_receive,
  &controlState,
  EWBC_CAPABILITY_INDICATOR,  // the commands that beginCommand knows
  2000,                       // stopAll, when the host has been silent for so many ms
  beginCommand,
  stopAll,
  NULL,                       // Serial does not count what it loses
};

static const ewbc_device device = {
  "arduino",                // unique id, 12 characters at most
  {0, 1, 0},                // version of this sketch
  EWBC_PERSISTENCE_RAM_ONLY,
  63,                       // bytes that Serial holds for us
  apply,
  startStream,
  writeBytes,
  &control,                 // NULL: results and nothing else
};

void setup() {
  pinMode(LED_BUILTIN, OUTPUT);
  pinMode(BUTTON, INPUT_PULLUP);
  randomSeed(analogRead(A0) ^ micros());
  Serial.begin(115200);
  ewbc_link_init(&instrument, &device, NULL, random(1, 0x7FFFFFFF), 0, 0);
}

void loop() {
  static bool told;
  const bool pressed = digitalRead(BUTTON) == LOW;

  if (Serial.available()) {
    ewbc_link_byte(&instrument, Serial.read());
  } else {
    ewbc_link_idle(&instrument);
  }
  ewbc_link_tick(&instrument, millis());
  if (pressed != told && ewbc_link_event(&instrument, EWBC_EVENT_BUTTON, BUTTON, pressed)) {
    told = pressed;
  }
  if (timed && (int32_t)(millis() - darkAt) >= 0) {
    stopAll(NULL);
  }
}
