using System.Collections.Concurrent;

var builder = WebApplication.CreateBuilder(args);
var app = builder.Build();
var notes = new ConcurrentQueue<string>();

app.MapGet("/healthz", () => "ok");
app.MapGet("/notes", () => notes);
app.MapPost("/notes", (Note note) =>
{
    if (string.IsNullOrWhiteSpace(note.Text))
    {
        return Results.BadRequest("a note has a text");
    }
    notes.Enqueue(note.Text);
    return Results.Created("/notes", note);
});
app.Run();

internal sealed record Note(string Text);
