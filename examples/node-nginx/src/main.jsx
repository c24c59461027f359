import { useState } from "react";
import { createRoot } from "react-dom/client";
import { reduction } from "./reduction.js";

function Calculator() {
  const [largest, setLargest] = useState(1500);
  const [image, setImage] = useState(100);
  const field = (label, value, set) => (
    <label>
      {label} <input type="number" value={value} onChange={(event) => set(Number(event.target.value))} /> MB{" "}
    </label>
  );
  return (
    <main>
      <h1>How much smaller is it?</h1>
      {field("Largest stage", largest, setLargest)}
      {field("Image", image, setImage)}
      <output>{reduction(largest, image)}</output>
    </main>
  );
}

createRoot(document.getElementById("root")).render(<Calculator />);
